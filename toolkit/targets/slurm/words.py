"""Slurm's words for the states of jobs, and what they come to for a run."""

from __future__ import annotations

from toolkit.targets.engine_state import NODE_LOST, OUT_OF_MEMORY, PREEMPTED, TIMED_OUT, EngineState
from toolkit.targets.slurm.client import JobState

WAITS = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
RUNS = {"RUNNING", "COMPLETING", "CONFIGURING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED"}
FAILS = {"FAILED", "COMPLETED", "BOOT_FAIL", ""}  # of itself: where the launcher did not even come up
_CAUSES = {
    "BOOT_FAIL": (NODE_LOST, "its node did not boot"),
    "DEADLINE": (TIMED_OUT, "its deadline has passed"),
    "NODE_FAIL": (NODE_LOST, "its node failed"),
    "OUT_OF_MEMORY": (OUT_OF_MEMORY, "it needed more memory than it had asked for: raise `memory` of the target"),
    "PREEMPTED": (PREEMPTED, "another job had priority over it: with max_retries it is started again"),
    "TIMEOUT": (TIMED_OUT, "its time was over: raise `time` of the compute target"),
}


def of(job: str, state: JobState, again: bool = False) -> EngineState:
    """What is kept of a state in the run's folder.

    Args:
        again: Slurm had stopped the job and started it again, for which the run has no attempt left.
    """
    cause, why = _CAUSES.get(state.state, ("", ""))
    message = f"Slurm ended the run's job {job} on {state.nodes}: {why}" if cause else ""
    if again:
        cause = PREEMPTED
        message = f"Slurm stopped the run's job {job} and started it again, more often than max_retries lets it"
    if not state.state:
        message = f"Slurm knows nothing of the run's job {job} any more, and it left no record of its end"
    return EngineState("Slurm", job, state.state, state.reason, state.nodes, cause, message)
