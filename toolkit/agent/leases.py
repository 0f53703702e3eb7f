"""GPUs leased to runs, one run a GPU at a time, first come first served, across all workspaces of this user.

    gpu-leases/lock                  held for the moment of every change
    gpu-leases/held/<uuid>.json      the run that has the GPU
    gpu-leases/waiting/<run>.json    a run that waits, since when, and the lock of its agent

Nobody has to give a GPU back: a lease counts while its run has not ended, and a wait while its agent lives.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolkit import status
from toolkit.gpus import Gpu
from toolkit.inscript.files import is_locked, read_json, write_json
from toolkit.inscript.rundir import RunDirectory


class Leases:
    """The leases below `folder`, as the agent whose lock is `agent_lock` takes them."""

    def __init__(self, folder: Path, agent_lock: Path) -> None:
        self._folder = folder
        self._held = folder / "held"
        self._waiting = folder / "waiting"
        self._agent_lock = agent_lock

    def take(self, run: RunDirectory, order: Sequence[float], gpus: Sequence[Gpu], count: int) -> list[Gpu] | None:
        """`count` of the GPUs for a run, or None while it has to wait: for a GPU, or for whose `order` is smaller."""
        with self._changing():
            ticket = self._waiting / f"{run.id}.json"
            holders = {gpu: self._holder(gpu) for gpu in gpus}
            mine = [gpu for gpu in gpus if holders[gpu] == run.root]
            if len(mine) >= count:  # an agent that was ended here had taken them already
                ticket.unlink(missing_ok=True)
                return mine
            free = [gpu for gpu in gpus if holders[gpu] in (None, run.root)]
            if len(free) < count or any(self._goes_before(other, run, order) for other in self._waits()):
                write_json(str(ticket), {"run": run.root, "order": [*order], "agent": str(self._agent_lock)})
                return None
            for gpu in free[:count]:
                write_json(str(self._lease(gpu)), {"run": run.root})
            ticket.unlink(missing_ok=True)
            return free[:count]

    @contextmanager
    def _changing(self) -> Iterator[None]:
        for folder in (self._held, self._waiting):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _lease(self, gpu: Gpu) -> Path:
        return self._held / f"{gpu.uuid.replace('/', '_')}.json"

    def _holder(self, gpu: Gpu) -> str | None:
        """The root of the run that has a GPU, or None."""
        lease = read_json(str(self._lease(gpu)))
        return lease["run"] if lease and _goes_on(RunDirectory(lease["run"])) else None

    def _waits(self) -> list[dict[str, Any]]:
        """Who waits; those whose run ended or whose agent is gone are forgotten."""
        found = []
        for ticket in self._waiting.glob("*.json"):
            wait = read_json(str(ticket), {})
            if wait and _goes_on(RunDirectory(wait["run"])) and self._lives(wait["agent"]):
                found.append(wait)
            else:
                ticket.unlink(missing_ok=True)
        return found

    def _lives(self, agent_lock: str) -> bool:
        return agent_lock == str(self._agent_lock) or is_locked(agent_lock)

    @staticmethod
    def _goes_before(wait: dict[str, Any], run: RunDirectory, order: Sequence[float]) -> bool:
        return [*wait["order"], wait["run"]] < [*order, run.root]


def _goes_on(run: RunDirectory) -> bool:
    if not os.path.exists(run.definition) or os.path.exists(run.exit):
        return False
    return status.last_event(run).status not in (*status.TERMINAL, status.FINALIZING)
