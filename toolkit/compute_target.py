"""`ComputeTarget`: where runs go, by name; found, created and deleted by control scripts."""

from __future__ import annotations

import builtins
import time
from typing import TYPE_CHECKING, Any

from toolkit import compute_provisioning as provisioning
from toolkit.compute_provisioning import ProvisioningConfiguration
from toolkit.errors import ComputeTargetException
from toolkit.inscript.values import warn_once
from toolkit.targets import registry

if TYPE_CHECKING:
    from toolkit.workspace import Workspace


class ComputeTarget:
    """A compute target by name: an `AmlCompute`, or the `ComputeInstance` that it was created as.

    Attributes:
        workspace: its workspace.
        name: its name.
        type: what Azure ML SDK v1 calls it.
        kind: what the workspace's configuration calls it, as in "local" or "docker".
        provisioning_state: "Succeeded".
        provisioning_errors: None.
        tags, description: as it was created with.

    Raises:
        ComputeTargetException: the workspace has no such target; the message says which it has and how to add one.
    """

    type = "AmlCompute"
    provisioning_state = "Succeeded"
    provisioning_errors: object = None
    location = "local"
    is_attached = False
    cluster_location = "local"

    def __new__(cls, workspace: Workspace, name: str) -> ComputeTarget:
        if cls is not ComputeTarget:
            return object.__new__(cls)
        from toolkit.compute import AmlCompute, ComputeInstance, RemoteCompute

        asked = provisioning.read_asked(workspace.paths, name) if isinstance(name, str) else {}
        kinds = {"ComputeInstance": ComputeInstance, "RemoteCompute": RemoteCompute}
        return object.__new__(kinds.get(str(asked.get("kind")), AmlCompute))

    def __init__(self, workspace: Workspace, name: str) -> None:
        configuration = workspace.configuration
        registry.check(name, configuration, workspace.paths.configuration)
        self.workspace = workspace
        self.name = name
        self.kind = str(configuration.compute_targets[name]["type"])
        self._asked = provisioning.read_asked(workspace.paths, name)
        self._created_now = False
        self.tags: dict[str, str] = dict(self._asked.get("tags") or {})
        self.description: str | None = self._asked.get("description")

    # -- made and found -----------------------------------------------------------------------------------------------

    @staticmethod
    def create(workspace: Workspace, name: str, provisioning_configuration: ProvisioningConfiguration) -> ComputeTarget:
        """Make a pool of this machine with `max_nodes` slots, and as many GPUs a run as the size has.

        One of this name that was created before is changed; one that `workspace.yaml` names stays as it is.

        Raises:
            ComputeTargetException: a name that Azure ML SDK v1 refuses as well.
            StorageError: the workspace's folder cannot be written.
        """
        provisioning.check_name(name)
        if not isinstance(provisioning_configuration, ProvisioningConfiguration):
            raise ComputeTargetException(
                f"ComputeTarget.create takes what AmlCompute.provisioning_configuration(vm_size=…) gives, "
                f"not {provisioning_configuration!r}"
            )
        paths = workspace.paths
        configured = name in workspace.configuration.compute_targets and not provisioning.file(paths, name).exists()
        if configured:
            warn_once(f"compute {name}", f"the compute target '{name}' is as {paths.configuration} says: none was made")
        else:
            provisioning.write(paths, name, provisioning_configuration)
        target = ComputeTarget(workspace, name)
        target._created_now = not configured
        return target

    @staticmethod
    def attach(workspace: Workspace, name: str, attach_configuration: object) -> ComputeTarget:
        """Make a machine that ssh reaches a compute target of the workspace: see `RemoteCompute.attach_configuration`.

        Raises:
            ComputeTargetException: a name that Azure ML SDK v1 refuses as well, or one that `workspace.yaml` has.
            StorageError: the workspace's folder cannot be written.
        """
        from toolkit.compute_remote import RemoteConfiguration, attach

        if not isinstance(attach_configuration, RemoteConfiguration):
            raise ComputeTargetException(
                f"'{name}' cannot be attached: ComputeTarget.attach takes what RemoteCompute.attach_configuration("
                f"address=…, username=…) gives, not {attach_configuration!r}"
            )
        attach(workspace, name, attach_configuration)
        return ComputeTarget(workspace, name)

    @staticmethod
    def list(workspace: Workspace) -> builtins.list[ComputeTarget]:
        """All compute targets of the workspace."""
        return [ComputeTarget(workspace, name) for name in workspace.configuration.compute_targets]

    @staticmethod
    def deserialize(workspace: Workspace, object_dict: dict[str, Any]) -> ComputeTarget:
        """The compute target that `serialize` described."""
        return ComputeTarget(workspace, object_dict["name"])

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        return f"{self.workspace.paths.root}/compute/{self.name}"

    cluster_resource_id = id

    @property
    def created_on(self) -> str | None:
        return _utc(self._asked.get("created"))

    @property
    def modified_on(self) -> str | None:
        return _utc(self._asked.get("modified"))

    def refresh_state(self) -> None:
        """Read again what the compute target is."""
        self.__init__(self.workspace, self.name)  # type: ignore[misc]

    def get_status(self) -> Any:
        """The state of the compute target."""
        return self.provisioning_state

    def serialize(self) -> dict[str, Any]:
        """The compute target as a dictionary with Azure ML SDK v1's keys."""
        return {
            "id": self.id,
            "name": self.name,
            "tags": self.tags,
            "location": self.location,
            "properties": {
                "computeType": self.type,
                "computeLocation": self.location,
                "description": self.description,
                "resourceId": self.id,
                "provisioningState": self.provisioning_state,
                "provisioningErrors": self.provisioning_errors,
            },
        }

    def wait_for_completion(self, show_output: bool = False, is_delete_operation: bool = False) -> None:
        """Nothing to wait for: a compute target is there once it is created. Says so where `show_output` asks."""
        if show_output:
            print('Provisioning operation finished, operation "Succeeded"')

    # -- its end ------------------------------------------------------------------------------------------------------

    def delete(self) -> None:
        """Remove a compute target that a script created; its runs go on.

        Raises:
            ComputeTargetException: `workspace.yaml` names it.
        """
        file = provisioning.file(self.workspace.paths, self.name)
        if not file.exists():
            raise ComputeTargetException(
                f"the compute target '{self.name}' is named in {self.workspace.paths.configuration}: take it out there"
            )
        file.unlink()

    def detach(self) -> None:
        """Refused: only what was attached can be detached.

        Raises:
            ComputeTargetException: always.
        """
        raise ComputeTargetException(f"'{self.name}' was not attached, so it cannot be detached: use delete()")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(workspace={self.workspace.name!r}, name={self.name!r}, kind={self.kind!r})"


def _utc(seconds: float | None) -> str | None:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else None
