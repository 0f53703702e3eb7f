"""Compute targets that control scripts create: from what Azure ML SDK v1 was asked for to a pool of this machine.

Each is one JSON file in the workspace's `compute/`: `settings`, what workspace.yaml would say, and what was `asked`.
"""

from __future__ import annotations

import re
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from toolkit import gpus
from toolkit.compute_sizes import gpus_of
from toolkit.errors import ComputeTargetException, storage_errors
from toolkit.inscript.files import write_json
from toolkit.paths import WorkspacePaths

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_NODES = 4
PRIORITIES = ("dedicated", "lowpriority")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{1,15}")


@dataclass(frozen=True)
class ProvisioningConfiguration:
    """What `AmlCompute.provisioning_configuration` was asked for.

    Attributes:
        vm_size: a GPU size gives each run that many GPUs of this machine.
        max_nodes: how many runs go at once.
        kind: "AmlCompute" or "ComputeInstance".
        azure: what means something in Azure only, kept as it was given.
    """

    vm_size: str
    vm_priority: str = "dedicated"
    min_nodes: int = 0
    max_nodes: int = DEFAULT_NODES
    idle_seconds_before_scaledown: int = 1800
    tags: dict[str, str] | None = None
    description: str | None = None
    kind: str = "AmlCompute"
    azure: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.validate_configuration()

    def validate_configuration(self) -> None:
        """Refuse what cannot be.

        Raises:
            ComputeTargetException: a size, priority or number of nodes that none can have.
        """
        if not isinstance(self.vm_size, str) or not self.vm_size.strip():
            raise ComputeTargetException("Invalid provisioning configuration: vm_size is missing, as in STANDARD_D2_V2")
        if self.vm_priority.lower() not in PRIORITIES:
            raise ComputeTargetException(
                f"Invalid provisioning configuration: vm_priority is {self.vm_priority!r}, it can be dedicated or "
                "lowpriority"
            )
        for name, least in (("min_nodes", 0), ("max_nodes", 0), ("idle_seconds_before_scaledown", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ComputeTargetException(
                    f"Invalid provisioning configuration: {name} is {value!r}, it must be a whole number, {least} or "
                    "more"
                )
        if self.min_nodes > self.max_nodes:
            raise ComputeTargetException(
                f"Invalid provisioning configuration: min_nodes is {self.min_nodes}, above max_nodes, "
                f"which is {self.max_nodes}"
            )


def whole(value: Any) -> Any:
    """A number that was given as text, as those of environment variables are; all else as it is."""
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


def check_name(name: object) -> str:
    """The name of a new compute target, as Azure ML SDK v1 allowed it.

    Raises:
        ComputeTargetException: it is not 2 to 16 letters, digits and hyphens.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ComputeTargetException(
            f"Invalid compute target name {name!r}: it must be 2 to 16 characters, letters, digits and hyphens, "
            "a letter or digit first"
        )
    return name


def write(paths: WorkspacePaths, name: str, asked: ProvisioningConfiguration) -> None:
    """Write the file of a compute target, whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    write_document(paths, name, settings_of(name, asked), asdict(asked))


def write_document(paths: WorkspacePaths, name: str, settings: dict[str, Any], asked: dict[str, Any]) -> None:
    """Write what `workspace.yaml` would say of a compute target, and what was asked for."""
    now = time.time()
    created = read_asked(paths, name).get("created", now)
    document = {"settings": settings, "asked": {**asked, "created": created, "modified": now}}
    with storage_errors(f"cannot create the compute target '{name}'", paths.compute):
        paths.compute.mkdir(mode=0o700, exist_ok=True)
        write_json(str(file(paths, name)), document)


def file(paths: WorkspacePaths, name: str) -> Path:
    return paths.compute / f"{name}.json"


def read_asked(paths: WorkspacePaths, name: str) -> dict[str, Any]:
    """What was asked for when a compute target was created; {} for one that `workspace.yaml` names."""
    from toolkit.inscript.files import read_json

    document: dict[str, Any] = read_json(str(file(paths, name)), {})
    return dict(document.get("asked", {}))


def settings_of(name: str, asked: ProvisioningConfiguration) -> dict[str, Any]:
    """What `workspace.yaml` would say of the pool. GPUs that this machine does not have are left out, and said."""
    settings: dict[str, Any] = {"type": "local", "slots": max(1, asked.max_nodes)}
    wanted = gpus_of(asked.vm_size)
    if not wanted:
        return settings
    there = _gpus_here()
    if there < wanted:
        got = f"each run of '{name}' gets the {there} that there is" if there else f"the runs of '{name}' use the CPU"
        print(
            f"toolkit: {asked.vm_size} has {wanted} GPU{'s' if wanted > 1 else ''}, and this machine has "
            f"{there or 'none'}: {got}",
            file=sys.stderr,
        )
    if there:
        settings["gpus"] = min(wanted, there)
    return settings


def _gpus_here() -> int:
    try:
        return len(gpus.find())
    except ComputeTargetException:  # no driver
        return 0
