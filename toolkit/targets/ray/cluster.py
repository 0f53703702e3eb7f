"""What this process knows of one Ray cluster, and what it does there beside the agent: nobody waits for it.

One a cluster, not one a target: targets are made anew when the configuration changes, and the log of a run must have
one reader.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from toolkit.errors import EngineUnreachable
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.wake import wake
from toolkit.paths import WorkspacePaths
from toolkit.targets.ray.client import RayClient, RayError
from toolkit.targets.ray.job import RUN, WORKSPACE, is_over, submission_id
from toolkit.targets.streaming import Followers
from toolkit.targets.workers import Workers

EAGER_SECONDS = 5.0  # for so long after a launch, the log is looked for again and again
EAGER_PAUSE_SECONDS = 0.05
LIST_PAUSE_SECONDS, LIST_SHARE = 0.5, 10  # a list that takes a second is asked for again after ten
CLAIM_SECONDS = 60.0
FORGET_SECONDS, LONGEST_FORGET_SECONDS = 3.0, 30.0  # at once would be too soon: Ray writes a last word about a job
TIDY_ATTEMPTS, TIDY_PAUSE_SECONDS = 200, 0.5
STOP_ATTEMPTS = 60
STOP_AGAIN_SECONDS = 5.0


@dataclass
class _Unwanted:
    """A job that the cluster is to forget."""

    due: float
    tries: int = 0

    def again(self, now: float) -> None:
        self.tries += 1
        self.due = now + min(FORGET_SECONDS * self.tries, LONGEST_FORGET_SECONDS)


class Cluster:
    """A cluster, as it was when it was asked last.

    Attributes:
        jobs: what it knows, by submission id.
        listed: when it was asked for them, by `time.monotonic`; 0 before.
        away: since when it does not answer; 0 while it does.
    """

    def __init__(self, client: RayClient, paths: WorkspacePaths) -> None:
        self.client = client
        self.jobs: dict[str, dict[str, Any]] = {}
        self.listed = self.away = 0.0
        self.sending: dict[str, Future[str]] = {}
        self.followers = Followers(self._log, str(paths.wake))
        self._paths = paths
        self._senders, self._stoppers = Workers("ray-send", 4), Workers("ray-stop", 2)
        self._lister, self._tidiers = Workers("ray-list", 1), Workers("ray-tidy", 1)
        self._unwanted: dict[str, _Unwanted] = {}
        self._tidying = threading.Lock()
        self._listing: Future[None] | None = None
        self._next_list = 0.0
        self._eager: dict[str, float] = {}
        self._stopped: dict[str, float] = {}
        self._retired: set[str] = set()
        self._swept = False

    # -- what there is --------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Ask for all jobs, where that was not done just now; what is known meanwhile stays."""
        if (self._listing is None or self._listing.done()) and time.monotonic() >= self._next_list:
            self._listing = self._lister.do(self._list)

    def _list(self) -> None:
        began = time.monotonic()
        before = {name: job.get("status") for name, job in self.jobs.items()}
        try:
            jobs = self.client.jobs()
        except Exception as error:  # an answer that is none, too: the cluster is away for us
            if not self.away:
                print(f"Ray at {self.client.address}: {error}", file=sys.stderr, flush=True)
            self.away = self.away or began
        else:
            self.jobs, self.listed, self.away = jobs, began, 0.0
            if not self._swept:
                self._swept = True
                self._sweep()
            if {name: job.get("status") for name, job in jobs.items()} != before:
                wake(str(self._paths.wake))
        self._next_list = time.monotonic() + max(LIST_PAUSE_SECONDS, (time.monotonic() - began) * LIST_SHARE)

    def _sweep(self) -> None:
        """Once: end and forget what an agent that was ended has left of runs that are over."""
        for name, job in self.jobs.items():
            run_id = (job.get("metadata") or {}).get(RUN, "")
            ours = (job.get("metadata") or {}).get(WORKSPACE) == str(self._paths.root)
            if ours and run_id and not (self._paths.active / run_id).exists():
                self._remove(name, stop=True)

    # -- logs -----------------------------------------------------------------------------------------------------

    def expect(self, run: RunDirectory) -> None:
        """The job was just taken: follow its log as soon as there is one."""
        self._eager[run.root] = time.monotonic() + EAGER_SECONDS
        self.followers.follow(run)

    def is_eager(self, run: RunDirectory) -> bool:
        return time.monotonic() < self._eager.get(run.root, 0.0)

    def _log(self, run: RunDirectory, flowing: bool) -> Generator[bytes, None, None]:
        name = submission_id(run)
        while True:
            try:
                node = self._node(name)
                if not node:
                    return
                pieces = self.client.log(name, node, flowing)
                first = next(pieces, b"")
                break
            except RayError as error:  # no node has it yet, or it has said nothing
                if error.status == 404 and not flowing:
                    return  # the cluster does not know it any more
                if not (flowing and self.is_eager(run)):
                    raise
            time.sleep(EAGER_PAUSE_SECONDS)
        yield first
        yield from pieces

    def _node(self, name: str) -> str:
        """The node that a job runs on; "" for one that has ended without. Raises RayError while it waits for one."""
        job = self.jobs.get(name, {})
        if not job.get("driver_node_id"):
            job = self.client.job(name)
        node = job.get("driver_node_id")
        if not node and not is_over(job):
            raise RayError("no node has it yet", 409)
        return str(node or "")

    # -- what is done there ---------------------------------------------------------------------------------------

    def send(self, run: RunDirectory, work: Callable[[], str]) -> Future[str]:
        """Have `work()` give the job to the cluster; it answers the submission id. The agent is woken then."""
        future: Future[str] = self._senders.do(work)
        self.sending[run.root] = future  # until the agent has asked for it
        future.add_done_callback(lambda _: wake(str(self._paths.wake)))
        return future

    def send_again(self, run: RunDirectory, work: Callable[[], str]) -> None:
        """As `send`, for a run that the agent has a handle of."""
        self.send(run, work).add_done_callback(lambda _: self.sending.pop(run.root, None))

    def unless_cancelled(self, run: RunDirectory, name: str) -> None:
        """Watch a job that was just taken until the agent has its handle: a run that is cancelled before has none."""
        threading.Thread(target=self._watch_claim, args=(run, name), daemon=True).start()

    def _watch_claim(self, run: RunDirectory, name: str) -> None:
        deadline = time.monotonic() + CLAIM_SECONDS
        while time.monotonic() < deadline and not os.path.exists(run.handle):
            if not (self._paths.active / run.id).exists():
                self._remove(name, stop=True)
                return
            time.sleep(0.2)

    def stop(self, name: str) -> None:
        """Have the cluster end a job, as soon as it answers."""
        if time.monotonic() - self._stopped.get(name, -STOP_AGAIN_SECONDS) >= STOP_AGAIN_SECONDS:
            self._stopped[name] = time.monotonic()
            self._stoppers.do(lambda: self._patiently(lambda: self.client.stop(name)))

    def retire(self, run: RunDirectory) -> None:
        """All of the run is here: the cluster may forget it."""
        name = submission_id(run)
        if name not in self._retired:
            self._retired.add(name)
            self.followers.forget(run)
            self._eager.pop(run.root, None)
            self._remove(name)

    def _remove(self, name: str, stop: bool = False) -> None:
        """Have the cluster forget a job, and end it before where it goes on."""
        if stop:
            self.stop(name)
        with self._tidying:
            self._unwanted[name] = _Unwanted(time.monotonic() + FORGET_SECONDS)
        self._tidiers.do(self._tidy)

    def _tidy(self) -> None:
        """Forget what is due, until nothing is left; one that waits for a node can only be forgotten later."""
        while self._unwanted:
            for name, unwanted in [*self._unwanted.items()]:
                if time.monotonic() < unwanted.due:
                    continue
                try:
                    forgotten = not self.client.delete(name)
                except (RayError, EngineUnreachable):
                    forgotten = False
                unwanted.again(time.monotonic())
                if forgotten or unwanted.tries > TIDY_ATTEMPTS:
                    with self._tidying:
                        self._unwanted.pop(name, None)
            time.sleep(TIDY_PAUSE_SECONDS)

    @staticmethod
    def _patiently(work: Callable[[], object]) -> None:
        for _ in range(STOP_ATTEMPTS):
            try:
                work()
                return
            except (RayError, EngineUnreachable):
                time.sleep(1.0)


@lru_cache(maxsize=16)
def of(address: str, token_file: str, paths: WorkspacePaths) -> Cluster:
    """The cluster at an address, one a process."""
    return Cluster(RayClient(address, token_file), paths)
