"""What sbatch is asked for: its options for a run, and the batch script of one run or of an array of them."""

from __future__ import annotations

import hashlib
import math
import shlex
from collections.abc import Sequence
from typing import Any

from toolkit.paths import WorkspacePaths
from toolkit.targets.base import Plan
from toolkit.targets.mount import inscript_folder
from toolkit.targets.settings import size_in_bytes
from toolkit.targets.slurm.settings import seconds_of

MARGIN_SECONDS = 120  # by which Slurm's limit is above ours: so that the launcher records the time-out itself
MOST_TASKS = 1000  # of one array: Slurm's own default is 1001
_RUNS = "# the runs of this job, by their index in the array"
_START = (
    "import sys; package = type(sys)('toolkit'); package.__path__ = [sys.argv[1] + '/toolkit']; "
    "sys.modules['toolkit'] = package; from toolkit.inscript.slurm_task import main; sys.exit(main(sys.argv[2]))"
)


def node_count(definition: dict[str, Any]) -> int:
    """The nodes that a run is started on. Parameter servers are told of each other on one machine only."""
    distributed = definition.get("distributed") or {}
    return int(distributed["nodes"]) if distributed.get("kind") in ("mpi", "pytorch") else 1


def processes_per_node(definition: dict[str, Any]) -> int:
    distributed = definition.get("distributed") or {}
    processes = distributed.get("processes") or distributed.get("workers", 1) + distributed.get("servers", 0)
    return int(processes) // node_count(definition)


def options(settings: dict[str, Any], definition: dict[str, Any], grace: float) -> list[str]:
    """The options of sbatch for what a run needs: the same for runs that can be in one array."""
    retries = int((definition.get("retry") or {}).get("max_retries") or 0)
    asked = [
        f"--nodes={node_count(definition)}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={cpus(settings, definition)}",
        "--requeue" if retries else "--no-requeue",
        "--open-mode=append",
        "--chdir=/",
    ]
    if settings.get("gpus"):
        kind = f"{settings['gpu_type']}:" if settings.get("gpu_type") else ""
        asked.append(f"--gres=gpu:{kind}{settings['gpus']}")
    if settings.get("memory"):
        asked.append(f"--mem={max(1, size_in_bytes(settings['memory']) >> 20)}M")
    limit = _minutes(settings, definition, grace)
    if limit:
        asked.append(f"--time={limit}")
    named = [
        f"--{name}={settings[name]}" for name in ("partition", "account", "qos", "constraint") if settings.get(name)
    ]
    return [*asked, *named, *settings.get("options", [])]


def cpus(settings: dict[str, Any], definition: dict[str, Any]) -> int:
    return int(settings.get("cpus") or processes_per_node(definition))


def _minutes(settings: dict[str, Any], definition: dict[str, Any], grace: float) -> int:
    """Slurm's limit; 0 for the partition's own."""
    limits = [seconds_of(settings["time"])] if settings.get("time") else []
    longest = float(definition.get("max_run_duration_seconds") or 0)
    if longest:
        limits.append(math.ceil(longest + grace + MARGIN_SECONDS))
    return math.ceil(min(limits) / 60) if limits else 0


def comment(paths: WorkspacePaths) -> str:
    """What marks the jobs of a workspace."""
    return "toolkit:" + hashlib.sha256(str(paths.root).encode()).hexdigest()[:16]


def script(plans: Sequence[Plan]) -> str:
    """The batch script of these runs, which need the same: a task of the job finds its run by its index."""
    cases = [f"{index}) run={shlex.quote(plan.run.root)} ;;" for index, plan in enumerate(plans)]
    python = shlex.quote(str(plans[0].container["python"]))
    started = f"{python} -I -S -c {shlex.quote(_START)} {shlex.quote(str(inscript_folder()))}"
    return "\n".join([
        "#!/bin/sh",
        _RUNS,
        'case "${SLURM_ARRAY_TASK_ID:-0}" in',
        *cases,
        "esac",
        'exec >>"$run/azureml-logs/60_control_log.txt" 2>&1',
        f'exec {started} "$run"',
        "",
    ])  # fmt: skip


def runs_of(script_text: str) -> list[str]:
    """The run directories in a batch script of ours, by their index."""
    lines = iter(script_text.splitlines())
    for line in lines:
        if line == _RUNS:
            break
    next(lines, "")
    found = []
    for line in lines:
        if line == "esac":
            break
        found.append(shlex.split(line.partition(" run=")[2].removesuffix(" ;;"))[0])
    return found


def own_options(plans: Sequence[Plan], mark: str) -> list[str]:
    """The options that name the job and say where its words go."""
    first = plans[0].run
    if len(plans) == 1:
        # What Slurm itself says of the job goes beside what the launcher says; % would be for Slurm to replace.
        plain = not any(character in first.control_log for character in "%\\\n")
        return [
            f"--job-name={first.id}",
            f"--comment={mark}",
            f"--output={first.control_log if plain else '/dev/null'}",
        ]
    name = f"{first.id.rsplit('_', 2)[0]} ({len(plans)} runs)"
    return [f"--job-name={name}", f"--comment={mark}", "--output=/dev/null", f"--array=0-{len(plans) - 1}"]
