"""What `AmlCompute.get_status()` gives: the state of a pool, under the names that Azure ML SDK v1 had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ScaleSettings:
    """How many runs of a pool go at once.

    Attributes:
        minimum_node_count: kept for scripts; the slots of a pool are always there.
        maximum_node_count: the slots of the pool.
        idle_seconds_before_scaledown: kept for scripts; nothing is scaled down.
    """

    minimum_node_count: int
    maximum_node_count: int
    idle_seconds_before_scaledown: int

    def serialize(self) -> dict[str, Any]:
        return {
            "minNodeCount": self.minimum_node_count,
            "maxNodeCount": self.maximum_node_count,
            "nodeIdleTimeBeforeScaleDown": f"PT{self.idle_seconds_before_scaledown}S",
        }


@dataclass(frozen=True)
class AmlComputeStatus:
    """The state of a pool. A node is a slot; one is running while a run has it. Times are ISO 8601, UTC."""

    allocation_state: str
    allocation_state_transition_time: str | None
    creation_time: str | None
    current_node_count: int
    errors: list[Any] | None
    modified_time: str | None
    node_state_counts: dict[str, int]
    provisioning_state: str
    provisioning_state_transition_time: str | None
    scale_settings: ScaleSettings
    target_node_count: int
    vm_priority: str
    vm_size: str

    def serialize(self) -> dict[str, Any]:
        """The status as a dictionary with Azure ML SDK v1's keys."""
        return {
            "errors": self.errors,
            "creationTime": self.creation_time,
            "modifiedTime": self.modified_time,
            "vmPriority": self.vm_priority,
            "vmSize": self.vm_size,
            "allocationState": self.allocation_state,
            "allocationStateTransitionTime": self.allocation_state_transition_time,
            "currentNodeCount": self.current_node_count,
            "targetNodeCount": self.target_node_count,
            "nodeStateCounts": dict(self.node_state_counts),
            "provisioningState": self.provisioning_state,
            "provisioningStateTransitionTime": self.provisioning_state_transition_time,
            "scaleSettings": self.scale_settings.serialize(),
        }

    @staticmethod
    def deserialize(object_dict: dict[str, Any] | None) -> AmlComputeStatus | None:
        """The status that `serialize` gave; None for None."""
        if not object_dict:
            return None
        scale = object_dict["scaleSettings"]
        return AmlComputeStatus(
            allocation_state=object_dict["allocationState"],
            allocation_state_transition_time=object_dict["allocationStateTransitionTime"],
            creation_time=object_dict["creationTime"],
            current_node_count=object_dict["currentNodeCount"],
            errors=object_dict["errors"],
            modified_time=object_dict["modifiedTime"],
            node_state_counts=object_dict["nodeStateCounts"],
            provisioning_state=object_dict["provisioningState"],
            provisioning_state_transition_time=object_dict["provisioningStateTransitionTime"],
            scale_settings=ScaleSettings(
                scale["minNodeCount"],
                scale["maxNodeCount"],
                int(scale["nodeIdleTimeBeforeScaleDown"].strip("PTS")),
            ),
            target_node_count=object_dict["targetNodeCount"],
            vm_priority=object_dict["vmPriority"],
            vm_size=object_dict["vmSize"],
        )
