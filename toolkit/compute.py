"""`AmlCompute` and its kin: compute targets as control scripts written for Azure ML SDK v1 see them.

A compute target that they create is a pool of this machine: `slots` runs at once, each with so many GPUs of its own. To
scripts it is an `AmlCompute`, whose nodes are the slots. One that they attach is a machine that ssh reaches.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from toolkit import compute_provisioning as provisioning
from toolkit import compute_sizes
from toolkit.compute_provisioning import ProvisioningConfiguration
from toolkit.compute_remote import RemoteCompute
from toolkit.compute_status import AmlComputeStatus, ScaleSettings
from toolkit.compute_target import ComputeTarget
from toolkit.errors import ComputeTargetException
from toolkit.inscript.files import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from toolkit.run import Run
    from toolkit.workspace import Workspace

__all__ = [
    "AmlCompute",
    "AmlComputeStatus",
    "ComputeInstance",
    "ComputeTarget",
    "ComputeTargetException",
    "RemoteCompute",
    "ScaleSettings",
    "default_target",
]


class AmlCompute(ComputeTarget):
    """A pool of this machine: each of its slots is a node."""

    @staticmethod
    def provisioning_configuration(
        vm_size: str = "",
        vm_priority: str = "dedicated",
        min_nodes: int = 0,
        max_nodes: int | None = None,
        idle_seconds_before_scaledown: int = 1800,
        admin_username: str | None = None,
        admin_user_password: str | None = None,
        admin_user_ssh_key: str | None = None,
        vnet_resourcegroup_name: str | None = None,
        vnet_name: str | None = None,
        subnet_name: str | None = None,
        tags: dict[str, str] | None = None,
        description: str | None = None,
        remote_login_port_public_access: str = "NotSpecified",
        identity_type: str | None = None,
        identity_id: builtins.list[str] | None = None,
        location: str | None = None,
        enable_node_public_ip: bool = True,
    ) -> ProvisioningConfiguration:
        """What `ComputeTarget.create` makes a pool from.

        Args:
            vm_size: as in "STANDARD_D2_V2"; of a GPU size each run has as many GPUs as the size has.
            max_nodes: how many runs go at once; 4 where it is not given.
            min_nodes, vm_priority, idle_seconds_before_scaledown, tags, description: kept, and shown again.
            admin_username … enable_node_public_ip: they mean nothing on one's own machine.

        Raises:
            ComputeTargetException: a number or a priority that none can have.
        """
        azure = {
            "admin_username": admin_username,
            "vnet_resourcegroup_name": vnet_resourcegroup_name,
            "vnet_name": vnet_name,
            "subnet_name": subnet_name,
            "remote_login_port_public_access": remote_login_port_public_access,
            "identity_type": identity_type,
            "identity_id": identity_id,
            "location": location,
            "enable_node_public_ip": enable_node_public_ip,
        }
        min_nodes, max_nodes = provisioning.whole(min_nodes), provisioning.whole(max_nodes)
        return ProvisioningConfiguration(
            vm_size=vm_size,
            vm_priority=str(vm_priority),
            min_nodes=min_nodes,
            max_nodes=max(provisioning.DEFAULT_NODES, min_nodes or 0) if max_nodes is None else max_nodes,
            idle_seconds_before_scaledown=provisioning.whole(idle_seconds_before_scaledown),
            tags=tags,
            description=description,
            azure={key: value for key, value in azure.items() if value is not None},
        )

    @property
    def vm_size(self) -> str:
        """The size that it was created with; "" for one of `workspace.yaml`."""
        return str(self._asked.get("vm_size", ""))

    @property
    def vm_priority(self) -> str:
        return str(self._asked.get("vm_priority", "dedicated"))

    @property
    def scale_settings(self) -> ScaleSettings:
        """Its slots, as `maximum_node_count`."""
        slots = self.workspace.configuration.slots(self.name)
        idle = int(self._asked.get("idle_seconds_before_scaledown", 1800))
        return ScaleSettings(int(self._asked.get("min_nodes", 0)), slots, idle)

    @property
    def status(self) -> AmlComputeStatus:
        return self.get_status()

    def get(self) -> dict[str, Any]:
        """What `serialize` gives, as it is now."""
        return self.serialize()

    def get_status(self) -> AmlComputeStatus:
        """The state of the pool now: a node that runs is a slot that a run has."""
        scale = self.scale_settings
        running = len(self._running())
        there = min(max(running, scale.minimum_node_count), scale.maximum_node_count)
        counts = dict.fromkeys(("preparing", "running", "idle", "unusable", "leaving", "preempted"), 0)
        counts.update(running=running, idle=max(0, there - running))
        return AmlComputeStatus(
            allocation_state="Steady",
            allocation_state_transition_time=self.modified_on,
            creation_time=self.created_on,
            current_node_count=there,
            errors=None,
            modified_time=self.modified_on,
            node_state_counts={f"{state}NodeCount": count for state, count in counts.items()},
            provisioning_state=self.provisioning_state,
            provisioning_state_transition_time=None,
            scale_settings=scale,
            target_node_count=there,
            vm_priority=self.vm_priority.capitalize(),
            vm_size=self.vm_size,
        )

    def wait_for_completion(  # type: ignore[override]  # as Azure ML SDK v1 has it
        self,
        show_output: bool = False,
        min_node_count: int | None = None,
        timeout_in_minutes: float = 25,
        is_delete_operation: bool = False,
    ) -> None:
        """Nothing to wait for: a pool is there once it is created. Says so where `show_output` asks."""
        if not show_output:
            return
        if is_delete_operation:
            print("Deleting\nSucceeded")
        else:
            print(f"{'Creating' + chr(10) if self._created_now else ''}Succeeded")
            self._created_now = False
        print("AmlCompute wait for completion finished\n")
        if not is_delete_operation:
            print("Minimum number of nodes requested have been provisioned")

    def update(
        self,
        min_nodes: int | None = None,
        max_nodes: int | None = None,
        idle_seconds_before_scaledown: int | None = None,
    ) -> None:
        """Change a pool that a script created.

        Raises:
            ComputeTargetException: `workspace.yaml` names it, or a number that cannot be.
        """
        if not self._asked:
            raise ComputeTargetException(
                f"the compute target '{self.name}' is named in {self.workspace.paths.configuration}: change it there"
            )
        asked = {key: value for key, value in self._asked.items() if key not in ("created", "modified")}
        given = {
            "min_nodes": min_nodes,
            "max_nodes": max_nodes,
            "idle_seconds_before_scaledown": idle_seconds_before_scaledown,
        }
        asked.update({key: value for key, value in given.items() if value is not None})
        provisioning.write(self.workspace.paths, self.name, ProvisioningConfiguration(**asked))
        self.refresh_state()

    def list_nodes(self) -> builtins.list[dict[str, Any]]:
        """The nodes that are there, each with the run that it has."""
        running = self._running()
        nodes: builtins.list[str | None] = [*running]
        nodes += [None] * (self.get_status().current_node_count - len(nodes))
        return [
            {"nodeId": f"{self.name}-{index}", "port": None, "publicIpAddress": None, "privateIpAddress": "127.0.0.1",
             "nodeState": "running" if run_id else "idle", "runId": run_id}
            for index, run_id in enumerate(nodes)
        ]  # fmt: skip

    def get_active_runs(
        self, type: str | None = None, tags: object = None, properties: object = None, status: str | None = None
    ) -> Iterator[Run]:
        """The runs of the pool that have not ended, the oldest first.

        Args:
            type, tags, properties, status: what a run must have, as in `Experiment.get_runs`.
        """
        from toolkit.inscript.run_family import matches
        from toolkit.run import Run

        for run_id in self._active():
            run: Run = Run.get(self.workspace, run_id)
            if type not in (None, run.type) or status not in (None, run.get_status()):
                continue
            if (not tags or matches(run.get_tags(), tags)) and (
                not properties or matches(run.get_properties(), properties)
            ):
                yield run

    def add_identity(self, identity_type: str, identity_id: builtins.list[str] | None = None) -> None:
        """Nothing to do: a pool of this machine acts as the user that it belongs to."""

    def remove_identity(self, identity_id: builtins.list[str] | None = None) -> None:
        """Nothing to do: a pool of this machine acts as the user that it belongs to."""

    @staticmethod
    def supported_vmsizes(workspace: Workspace, location: str | None = None) -> builtins.list[dict[str, Any]]:
        """The sizes whose GPUs are known; others may be named too."""
        return compute_sizes.supported()

    def _active(self) -> builtins.list[str]:
        """The ids of the pool's runs that have not ended, the oldest first."""
        runs: builtins.list[tuple[float, str]] = []
        for mark in self.workspace.paths.active.iterdir():
            definition = read_json(self.workspace.paths.run(mark.name).definition, {})
            if definition.get("target") == self.name:
                runs.append((float(definition.get("submitted", 0)), mark.name))
        return [run_id for _, run_id in sorted(runs)]

    def _running(self) -> builtins.list[str]:
        """The ids of the runs that have a slot: their script was started and has not ended."""
        paths = self.workspace.paths
        found = []
        for run_id in self._active():
            run = paths.run(run_id)
            if read_json(run.started) is not None and read_json(run.exit) is None:
                found.append(run_id)
        return found


class ComputeInstance(AmlCompute):
    """A machine of one's own: a pool of this machine with one slot."""

    type = "ComputeInstance"

    @staticmethod
    def provisioning_configuration(  # type: ignore[override]
        vm_size: str = "",
        ssh_public_access: bool = False,
        admin_user_ssh_public_key: str | None = None,
        vnet_resourcegroup_name: str | None = None,
        vnet_name: str | None = None,
        subnet_name: str | None = None,
        tags: dict[str, str] | None = None,
        description: str | None = None,
        assigned_user_object_id: str | None = None,
        assigned_user_tenant_id: str | None = None,
    ) -> ProvisioningConfiguration:
        """What `ComputeTarget.create` makes a pool of one slot from; all but the size, tags and text mean Azure."""
        return ProvisioningConfiguration(
            vm_size=vm_size, max_nodes=1, tags=tags, description=description, kind="ComputeInstance"
        )

    def start(self, wait_for_completion: bool = False, show_output: bool = False) -> None:
        """Nothing to do: it is there."""

    def stop(self, wait_for_completion: bool = False, show_output: bool = False) -> None:
        """Nothing to do: a pool of this machine takes nothing while it has no runs."""


def default_target(workspace: Workspace, type: str = "CPU") -> ComputeTarget | None:
    """The pool that a workspace offers by itself: "CPU" or "GPU". None where it has none such."""
    configuration = workspace.configuration
    with_gpus = [name for name, one in configuration.compute_targets.items() if one.get("gpus")]
    if str(type).upper() == "GPU":
        return ComputeTarget(workspace, with_gpus[0]) if with_gpus else None
    names = ("cpu-cluster", "local", *configuration.compute_targets)
    name = next((one for one in names if one in configuration.compute_targets and one not in with_gpus), None)
    return ComputeTarget(workspace, name) if name else None
