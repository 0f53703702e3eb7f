"""`ContainerRegistry`: a private registry of images, and who signs in there."""

from __future__ import annotations


class ContainerRegistry:
    """A container registry.

    Attributes:
        address: as in "myregistry.azurecr.io" or "localhost:5000"; None for the engine's own.
        username, password: to sign in; None where nobody has to. They are kept in the toolkit's home only, never with
            an environment or a run.
        registry_identity: of Azure, not used here.
    """

    def __init__(self) -> None:
        self.address: str | None = None
        self.username: str | None = None
        self.password: str | None = None
        self.registry_identity: object = None

    def __repr__(self) -> str:
        return f"ContainerRegistry(address={self.address!r})"
