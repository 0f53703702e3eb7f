"""A run as a job of Ray: what is asked for, and what the record that the cluster keeps of it means."""

from __future__ import annotations

import hashlib
import math
import shlex
from typing import Any

from toolkit.inscript import attempts
from toolkit.inscript.rundir import RunDirectory
from toolkit.targets.engine_state import NODE_LOST, OUT_OF_MEMORY, EngineState
from toolkit.targets.ray.settings import DEFAULT_CPUS
from toolkit.targets.settings import size_in_bytes

WORKSPACE, RUN = "toolkit_workspace", "toolkit_run"  # of a job's metadata: whose it is
COMMAND_ERROR, START_TIMEOUT = "JOB_ENTRYPOINT_COMMAND_ERROR", "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"
FLUSH_SECONDS = 60  # after the grace, for what is printed at the end; then Ray kills
_OVER = ("SUCCEEDED", "FAILED", "STOPPED")
_MESSAGE_CHARACTERS = 1000


def submission_id(run: RunDirectory) -> str:
    """What the cluster calls the job of the run's present attempt."""
    state = EngineState.of(run)
    return state.id if state is not None and state.id else first_submission_id(run)


def first_submission_id(run: RunDirectory) -> str:
    """The same whenever it is asked, so that launching twice starts one job."""
    digest = hashlib.sha256(run.root.encode()).hexdigest()[:8]
    return f"{run.id[:150]}-{digest}-{attempts.count(run) + 1}"


def another_submission_id(name: str) -> str:
    """For a job that Ray has given up before it started: as in "…-1.2" after "…-1"."""
    head, _, number = name.rpartition("-")
    attempt, _, again = number.partition(".")
    return f"{head}-{attempt}.{int(again or 1) + 1}"


def request(settings: dict[str, Any], runtime_env: dict[str, Any], grace: float) -> dict[str, Any]:
    """What the cluster is asked for, but for the packages and the id."""
    wait = math.ceil(grace) + FLUSH_SECONDS
    asked: dict[str, Any] = {
        "entrypoint": f"exec {shlex.quote(str(settings.get('python') or 'python3'))} -I -S start.py",
        "entrypoint_num_cpus": settings.get("cpus", DEFAULT_CPUS),
        "runtime_env": {**runtime_env, "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(wait)}},
    }
    if settings.get("gpus"):
        asked["entrypoint_num_gpus"] = settings["gpus"]
    if settings.get("memory"):
        asked["entrypoint_memory"] = size_in_bytes(settings["memory"])
    if settings.get("resources"):
        asked["entrypoint_resources"] = dict(settings["resources"])
    return asked


def is_over(job: dict[str, Any]) -> bool:
    return job.get("status") in _OVER


def state_of(name: str, job: dict[str, Any], asked: dict[str, Any], started: bool) -> EngineState:
    """What the cluster says of a job, and why it ended where that was not its script's doing.

    Args:
        asked: what was asked for, as `request` made it.
        started: whether the launcher of the run came up: then nothing of this is the cluster's.
    """
    message = str(job.get("message") or "")
    error = str(job.get("error_type") or "")
    node = job.get("driver_agent_http_address") or ""
    state = str(job.get("status") or "UNKNOWN")
    nodes = str(node).removeprefix("http://").rpartition(":")[0]
    if state == "PENDING":
        return EngineState("Ray", name, state, reason=_waits_for(asked))
    if state != "FAILED":
        return EngineState("Ray", name, state, nodes=nodes)
    cause, said = ("", "") if started and error == COMMAND_ERROR else _why(error, message)
    return EngineState("Ray", name, state, reason=error, nodes=nodes, cause=cause, message=said)


def _waits_for(asked: dict[str, Any]) -> str:
    wants = {
        "CPUs": asked.get("entrypoint_num_cpus"),
        "GPUs": asked.get("entrypoint_num_gpus"),
        **asked.get("entrypoint_resources", {}),
    }
    return "waits for " + ", ".join(f"{count:g} {name}" for name, count in wants.items() if count)


def _why(error: str, message: str) -> tuple[str, str]:
    """The cause and the sentence for a job that failed without an exit record of its launcher."""
    short = " ".join(message.split())[-_MESSAGE_CHARACTERS:]  # of a traceback, the end says why
    if error == COMMAND_ERROR:
        return "", f"the launcher did not come up on the node: {short}"
    if error == "RUNTIME_ENV_SETUP_FAILURE":
        return "", f"Ray could not prepare a node for the run: {short}"
    if error == "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE":
        return "", f"no node of the Ray cluster can take the run: {short}"
    if "OOM" in message or "out of memory" in message.lower():
        return OUT_OF_MEMORY, f"Ray ended the run because its node ran out of memory: {short}"
    if error.startswith("JOB_SUPERVISOR_ACTOR"):
        return NODE_LOST, f"the node of the run was lost, or Ray ended its process there: {short}"
    return "", ""


def gone(name: str, why: str) -> EngineState:
    """Of a job that the cluster does not know any more, or that nobody can ask about."""
    return EngineState("Ray", name, "GONE", cause=NODE_LOST, message=why)
