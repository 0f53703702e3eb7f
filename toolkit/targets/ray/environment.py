"""The environment of a run on a Ray cluster: an interpreter that is there, or packages that Ray installs there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.environments.lock import Lock
from toolkit.errors import ComputeTargetException
from toolkit.targets.base import Job


@dataclass(frozen=True)
class Interpreter:
    """What starts the script.

    Attributes:
        python: its path, or a name that is found on the node's PATH.
        path: folders that are put in front of the PATH.
        variables: variables of the script that go with it.
        runtime_env: what Ray is asked to prepare.
    """

    python: str
    path: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    runtime_env: dict[str, Any] = field(default_factory=dict)


def interpreter(job: Job, name: str, shared: bool) -> Interpreter:
    """The interpreter of a run on the compute target `name`.

    Raises:
        ComputeTargetException: the environment cannot be there.
    """
    python = str(job.environment["python"])
    if job.environment.get("user_managed"):
        folder = [str(Path(python).parent)] if "/" in python else []
        return Interpreter(python, folder)
    if shared:
        prefix = Path(python).parent
        return Interpreter(python, [str(prefix)], {"VIRTUAL_ENV": str(prefix.parent)})
    lock = Lock.from_dict(job.environment["lock"])
    if lock.conda:
        names = ", ".join(package.name for package in lock.conda[:5])
        raise ComputeTargetException(
            f"the environment has conda packages ({names}, …), which Ray cannot install on the nodes of the compute "
            f"target '{name}': use pip packages only, an interpreter that is there (python: in its settings, and "
            "user_managed_dependencies), or shared: true where the nodes have the toolkit's home under the same path"
        )
    return Interpreter("python", runtime_env={"uv": {"packages": requirements(lock), "uv_pip_install_options": []}})


def requirements(lock: Lock) -> list[str]:
    """The packages of a lock, each pinned with its hashes on one line, as Ray writes them into a requirements file."""
    return [*lock.options, *(" ".join(entry.replace("\\\n", " ").split()) for entry in lock.entries)]
