"""Handing runs to Slurm beside everything else: what comes close together goes as one job array, with one `sbatch`.

What is handed over is kept by cluster and workspace, not by target object: the agent makes new ones when the
configuration changes.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Sequence

from toolkit.errors import EngineUnreachable, ToolkitError
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.wake import wake
from toolkit.targets.base import LaunchError, NotYet, Plan
from toolkit.targets.slurm import request
from toolkit.targets.slurm.client import Client

_QUIET_SECONDS, _LONGEST_SECONDS = 0.001, 0.5  # until nothing more comes, and at most
_BUSY_QUIET_SECONDS, _BUSY_SECONDS = 0.2, 0.3  # while the last hand-over is younger than that: a burst goes on
_UNCLAIMED_SECONDS = 1.0


class Submissions:
    """The runs that are on their way to one cluster, by run directory."""

    def __init__(self, client: Client, mark: str) -> None:
        self._client = client
        self._mark = mark
        self._changed = threading.Condition()
        self._waiting: dict[str, Plan] = {}
        self._done: dict[str, str | ToolkitError] = {}
        self._came = 0.0
        self._last = 0.0
        self._unsure = True  # whether Slurm may have jobs of ours that nobody here knows of
        self._thread: threading.Thread | None = None

    def hand_over(self, plan: Plan) -> str:
        """The id of the run's job.

        Raises:
            NotYet: it is on its way; call again.
            EngineUnreachable, LaunchError: it was not taken; another call tries once more.
        """
        root = plan.run.root
        with self._changed:
            outcome = self._done.pop(root, None)
            if isinstance(outcome, ToolkitError):
                raise outcome
            if outcome is not None:
                return outcome
            if root not in self._waiting:
                self._waiting[root] = plan
                self._came = time.monotonic()
                self._changed.notify_all()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="sbatch", daemon=True)
                self._thread.start()
        raise NotYet("handing it to Slurm")

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting and not self._done:
                    self._thread = None
                    return
                if not self._waiting:
                    self._changed.wait(_UNCLAIMED_SECONDS)
            self._wait_for_more()
            with self._changed:
                plans = [*self._waiting.values()]
            if plans:
                outcomes = self._hand_all_over(plans)
                with self._changed:
                    for plan in plans:
                        del self._waiting[plan.run.root]
                    self._done.update(outcomes)
                self._last = time.monotonic()
                wake(plans[0].wake)
            self._take_back()

    def _wait_for_more(self) -> None:
        """Until nothing has come for a moment, so that what is submitted together is handed over together."""
        began = time.monotonic()
        quiet = _BUSY_QUIET_SECONDS if began - self._last < _BUSY_SECONDS else _QUIET_SECONDS
        while self._waiting:
            now = time.monotonic()
            left = min(self._came + quiet, began + max(_LONGEST_SECONDS, 2 * quiet)) - now
            if left <= 0:
                return
            time.sleep(left)

    def _hand_all_over(self, plans: Sequence[Plan]) -> dict[str, str | ToolkitError]:
        outcomes: dict[str, str | ToolkitError] = {}
        try:
            outcomes.update(self._known(plans))
        except ToolkitError as error:
            return {plan.run.root: error for plan in plans}
        groups: dict[tuple[str, ...], list[Plan]] = {}
        for plan in plans:
            cancelled = os.path.exists(plan.run.cancel)
            if plan.run.root not in outcomes and not cancelled:
                groups.setdefault((*plan.container["options"], plan.container["python"]), []).append(plan)
        for group in groups.values():
            for start in range(0, len(group), request.MOST_TASKS):
                outcomes.update(self._submit(group[start : start + request.MOST_TASKS]))
        return outcomes

    def _known(self, plans: Sequence[Plan]) -> dict[str, str]:
        """Of these runs, the jobs that Slurm has already: an agent was ended, or sbatch got no answer."""
        if not self._unsure:
            return {}
        wanted = {plan.run.root for plan in plans}
        found = {}
        for job, text in self._client.ours(self._mark).items():
            runs = request.runs_of(text)
            for index, root in enumerate(runs):
                if root in wanted:
                    found[root] = job if len(runs) == 1 else f"{job}_{index}"
        self._unsure = False
        return found

    def _submit(self, plans: Sequence[Plan]) -> dict[str, str | ToolkitError]:
        asked = [*plans[0].container["options"], *request.own_options(plans, self._mark)]
        try:
            job = self._client.submit(asked, request.script(plans))
        except EngineUnreachable as error:
            self._unsure = True
            return {plan.run.root: error for plan in plans}
        except LaunchError as error:
            if len(plans) > 1:  # the cluster takes no such array: one by one
                return {root: outcome for plan in plans for root, outcome in self._submit([plan]).items()}
            return {plans[0].run.root: LaunchError(f"Slurm refused the run's job. {error}")}
        if len(plans) == 1:
            return {plans[0].run.root: job}
        return {plan.run.root: f"{job}_{index}" for index, plan in enumerate(plans)}

    def _take_back(self) -> None:
        """Take the jobs of runs that were cancelled on the way out of the queue: nobody asks for them any more."""
        with self._changed:
            left = {root: job for root, job in self._done.items() if os.path.exists(RunDirectory(root).cancel)}
            for root in left:
                del self._done[root]
        for job in left.values():
            if isinstance(job, str):
                try:
                    self._client.kill(job)
                except ToolkitError:
                    pass  # when it starts, it finds that its run was cancelled


@functools.cache
def of(config: str, mark: str) -> Submissions:
    """The submissions of a workspace, by its mark, to the cluster with this configuration."""
    return Submissions(Client(config), mark)
