"""`ContainerRegistry`: a private registry of images, and who signs in there."""

from __future__ import annotations

from toolkit.errors import UserErrorException


class ContainerRegistry:
    """A container registry.

    Attributes:
        username, password: to sign in; None where nobody has to. They are kept in the toolkit's home only, never with
            an environment or a run.
        registry_identity: of Azure, not used here.
    """

    def __init__(self) -> None:
        self._address: str | None = None
        self.username: str | None = None
        self.password: str | None = None
        self.registry_identity: object = None

    @property
    def address(self) -> str | None:
        """As in "myregistry.azurecr.io" or "localhost:5000"; None for the engine's own."""
        return self._address

    @address.setter
    def address(self, address: str | None) -> None:
        if address is not None and "@" in str(address):  # it would be kept with environments and runs
            raise UserErrorException(
                "the address of a ContainerRegistry has credentials in it: set its username and password to them, and "
                f"its address to {address.rpartition('@')[2]!r}"
            )
        self._address = address

    def __repr__(self) -> str:
        return f"ContainerRegistry(address={self.address!r})"
