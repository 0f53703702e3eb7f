"""`RemoteCompute`: a machine that ssh reaches, attached by control scripts as they did with Azure ML SDK v1."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from toolkit import compute_provisioning as provisioning
from toolkit.compute_target import ComputeTarget
from toolkit.errors import ComputeTargetException

if TYPE_CHECKING:
    from toolkit.workspace import Workspace


@dataclass(frozen=True)
class RemoteConfiguration:
    """What `RemoteCompute.attach_configuration` was told of a machine."""

    username: str
    address: str
    ssh_port: int = 22
    private_key_file: str = ""

    def settings(self) -> dict[str, Any]:
        """What `workspace.yaml` would say of it."""
        found: dict[str, Any] = {
            "type": "ssh",
            "host": f"{self.username}@{self.address}" if self.username else self.address,
        }
        if self.ssh_port != 22:
            found["port"] = self.ssh_port
        if self.private_key_file:
            found["key_file"] = self.private_key_file
        return found


class RemoteCompute(ComputeTarget):
    """A machine that ssh reaches: its runs are processes there, one at a time."""

    type = "VirtualMachine"
    is_attached = True

    @staticmethod
    def attach_configuration(
        username: str,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        vm_name: str | None = None,
        resource_id: str | None = None,
        address: str | None = None,
        ssh_port: int = 22,
        password: str = "",
        private_key_file: str = "",
        private_key_passphrase: str = "",
    ) -> RemoteConfiguration:
        """What `ComputeTarget.attach` makes a compute target from.

        Args:
            username, address: as in `ssh username@address`.
            private_key_file: a key on this machine; without one, ssh's own and those of ssh-agent.
            subscription_id, resource_group, vm_name, resource_id: they name a machine in Azure only.

        Raises:
            ComputeTargetException: no address, a password, or something that ssh cannot take.
        """
        if not address:
            raise ComputeTargetException(
                f"'{vm_name or resource_id or username}' cannot be attached without its address, as ssh takes it: "
                f"RemoteCompute.attach_configuration(username={username!r}, address='gpu-box.example.com')"
            )
        if password or private_key_passphrase:
            raise ComputeTargetException(
                f"'{address}' cannot be attached with a {'password' if password else 'passphrase'}: runs go there in "
                "the background, where nobody answers ssh's questions, and none is kept. Put your key there with "
                f"`ssh-copy-id {username}@{address}`, load it into ssh-agent with `ssh-add`, and leave it out here"
            )
        port = provisioning.whole(ssh_port)
        return RemoteConfiguration(str(username or ""), str(address), port, str(private_key_file or ""))

    @staticmethod
    def attach(  # type: ignore[override]
        workspace: Workspace,
        name: str,
        username: str = "",
        address: str = "",
        ssh_port: int = 22,
        password: str = "",
        private_key_file: str = "",
        private_key_passphrase: str = "",
    ) -> ComputeTarget:
        """Attach a machine in one call: see `attach_configuration`."""
        configuration = RemoteCompute.attach_configuration(
            username=username,
            address=address,
            ssh_port=ssh_port,
            password=password,
            private_key_file=private_key_file,
            private_key_passphrase=private_key_passphrase,
        )
        return ComputeTarget.attach(workspace, name, configuration)

    @property
    def username(self) -> str:
        return str(self._asked.get("username", ""))

    @property
    def address(self) -> str:
        return str(self._asked.get("address", ""))

    @property
    def ssh_port(self) -> int:
        return int(self._asked.get("ssh_port", 22))

    def detach(self) -> None:
        """Take it out of the workspace; the machine and its runs stay."""
        self.delete()


def attach(workspace: Workspace, name: str, asked: RemoteConfiguration) -> None:
    """Write the compute target of a machine.

    Raises:
        ComputeTargetException: a name that cannot be, or is another target's; settings that ssh cannot take.
        StorageError: the workspace's folder cannot be written.
    """
    from toolkit.targets.kind import Kind
    from toolkit.targets.ssh.settings import KIND

    kind: Kind = KIND
    provisioning.check_name(name)
    if name in workspace.configuration.compute_targets and not provisioning.file(workspace.paths, name).exists():
        raise ComputeTargetException(
            f"there is a compute target '{name}' in {workspace.paths.configuration} already: take another name, or "
            "change it there"
        )
    settings = asked.settings()
    for key, value in settings.items():
        if not kind.settings[key].accepts(value):
            raise ComputeTargetException(
                f"'{name}' cannot be attached: its {key} is {value!r}; it must be {kind.settings[key].says}"
            )
    provisioning.write_document(workspace.paths, name, settings, {**asdict(asked), "kind": "RemoteCompute"})
