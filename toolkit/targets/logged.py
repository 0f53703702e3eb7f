"""Runs that a process logs itself: nothing is launched, and what is known of them stands in their folders."""

from __future__ import annotations

from collections.abc import Iterable

from toolkit.configuration import NO_LIMIT
from toolkit.inscript import logged_run
from toolkit.targets import launched
from toolkit.targets.base import Handle, Job, LaunchError, Phase, Plan


class LoggedTarget:
    """The target of runs that were not submitted: it only looks, and ends them when somebody cancels."""

    name = "sdk"  # what Azure ML SDK v1 called it
    pool = "sdk"
    slots = NO_LIMIT
    gpus = 0
    queues = False

    def prepare(self, job: Job) -> Plan:
        raise LaunchError(f"the run {job.run.id} is logged by a process, and cannot be started")

    def launch(self, plan: Plan) -> Handle:
        raise LaunchError(f"the run {plan.run.id} is logged by a process, and cannot be started")

    def poll(self, handles: Iterable[Handle]) -> dict[Handle, Phase]:
        return {handle: launched.phase(handle.run) for handle in handles}

    def logs(self, handle: Handle, offset: int) -> bytes:
        return launched.read_log(handle.run, offset)

    def cancel(self, handle: Handle, grace: float) -> None:
        """The run is over; the process that logs it goes on, and what it logs further is kept."""
        if launched.lives(handle.run):
            logged_run.end(handle.run, {"reason": "stopped", "code": None})
