"""What is known at submit of a run that is to go to Slurm, without asking its controller."""

from __future__ import annotations

import os
import shutil
from typing import Any

from toolkit.errors import ComputeTargetException
from toolkit.targets.slurm.client import Client
from toolkit.targets.slurm.request import node_count

_OF_SBATCH = {
    "SBATCH_ACCOUNT": "account", "SLURM_ACCOUNT": "account", "SBATCH_PARTITION": "partition", "SBATCH_QOS": "qos",
    "SBATCH_CONSTRAINT": "constraint", "SBATCH_TIMELIMIT": "time", "SBATCH_RESERVATION": "options",
}  # fmt: skip


def check(name: str, settings: dict[str, Any], definition: dict[str, Any]) -> list[str]:
    """What a person should know of the run.

    Raises:
        ComputeTargetException: this machine has no Slurm.
    """
    if shutil.which("sbatch") is None:
        raise ComputeTargetException(
            f"compute target '{name}' is a Slurm cluster, and this machine has no sbatch: submit on a machine of the "
            "cluster, a login node say, with a home that the nodes share; or use a target of type ssh"
        )
    config = settings.get("config")
    if config and not os.path.isfile(config):
        raise ComputeTargetException(
            f"compute target '{name}' has config '{config}', and there is no such file: it is the cluster's slurm.conf"
        )
    if settings.get("gpu_type") and not settings.get("gpus"):
        raise ComputeTargetException(
            f"compute target '{name}' has gpu_type '{settings['gpu_type']}' and no gpus: say how many each run has"
        )
    said = []
    distributed = definition.get("distributed") or {}
    if distributed.get("kind") == "tensorflow" and int(distributed["nodes"]) > node_count(definition):
        said.append("the workers and parameter servers of the run are all started on one node of the cluster")
    for variable, setting in _OF_SBATCH.items():
        if os.environ.get(variable) and not settings.get(setting):
            said.append(
                f"{variable} is not heeded: the compute target '{name}' says what sbatch is asked for, in its {setting}"
            )
    return said


def examine(name: str, settings: dict[str, Any]) -> str:
    """For `toolkit doctor`: the partitions of the cluster.

    Raises:
        EngineUnreachable, LaunchError: there is no Slurm on this machine, or its controller does not answer.
    """
    partitions = Client(str(settings.get("config", ""))).run("sinfo", "--noheader", "--format=%P %D nodes %a")
    return ", ".join(line.strip() for line in partitions.splitlines())
