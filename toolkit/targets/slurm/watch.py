"""What Slurm says of jobs, asked for beside everything else, once for all of them and not more often than it takes."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from toolkit.errors import ToolkitError
from toolkit.inscript.wake import wake
from toolkit.targets.slurm.client import Client, JobState

LEAST_SECONDS, MOST_SECONDS = 0.5, 10.0  # between two questions: rarer while nothing changes
_COST = 10  # a controller that takes long to answer is asked at most that much more rarely


@dataclass(frozen=True)
class Answer:
    """What Slurm said last, and when it was asked (`time.monotonic()`); at first nothing, long ago."""

    states: dict[str, JobState] = field(default_factory=dict)
    asked: float = float("-inf")


class Watch:
    """The states of the jobs of one target.

    Args:
        pipe: the named pipe that wakes the agent when there is news.
    """

    def __init__(self, client: Client, pipe: str) -> None:
        self._client = client
        self._pipe = pipe
        self._lock = threading.Lock()
        self._answer = Answer()
        self._changed = time.monotonic()
        self._next = 0.0
        self._asking = False
        self._failed = ""

    def look(self, jobs: Iterable[str]) -> Answer:
        """The last answer. Returns at once, and asks anew in a thread where it is time to."""
        with self._lock:
            wanted = {*jobs}
            new = bool(wanted - self._answer.states.keys())
            if not self._asking and (new or time.monotonic() >= self._next):
                self._asking = True
                threading.Thread(target=self._ask, args=(wanted,), name="squeue", daemon=True).start()
            return self._answer

    def hurry(self) -> None:
        """Something was done to a job: the next look asks."""
        with self._lock:
            self._changed, self._next = time.monotonic(), 0.0

    def _ask(self, jobs: set[str]) -> None:
        began = time.monotonic()
        states, failed = None, ""
        try:
            states = self._client.states(jobs)
        except Exception as error:  # whatever it is: as long as `_asking` says so, nobody else asks
            failed = str(error) if isinstance(error, ToolkitError) else repr(error)
        now = time.monotonic()
        with self._lock:
            news = states is not None and states != self._answer.states
            if news:
                self._changed = now
            if states is not None:
                self._answer = Answer(states, began)
            pause = min(MOST_SECONDS, max(LEAST_SECONDS, (now - self._changed) / 5))
            self._next = now + max(pause, _COST * (now - began))
            self._asking = False
            said_before, self._failed = self._failed, failed
        if failed and failed != said_before:
            print(failed, file=sys.stderr, flush=True)
        if news:
            wake(self._pipe)
