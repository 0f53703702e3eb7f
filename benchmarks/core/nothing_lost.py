"""How many of the numbers that a script logged are gone when it is killed (SIGKILL)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.core import logging_peers
from benchmarks.core.logging_peers import WORKERS, System
from benchmarks.figure import Line, at_most
from benchmarks.peers import PeerUnavailable
from benchmarks.surroundings import variables
from benchmarks.workers import Worker, WorkerError

TITLE = "nothing lost at SIGKILL"

COUNT = 20_000
SETTLE_SECONDS = 3.0  # for processes of a peer's own that still write what they were given


def measure(bench: Bench) -> Iterator[Line]:
    """Logs, says so, is killed at once; what can be read back afterwards is counted."""
    missing: dict[str, str] = {}
    ours = logging_peers.ours()
    without = ("file_constant", "REST")  # no numbers in it; the same as the sqlite store behind it
    peers = [one for one in logging_peers.peers() if not (one.function in without or one.label.endswith(without))]
    lost: dict[str, float] = {}
    for system in (ours, *peers):
        bench.say(system.label)
        try:
            lost[system.label] = _lost(bench, system)
        except (PeerUnavailable, WorkerError) as reason:
            missing[system.label] = str(reason)
    what = f"numbers lost at SIGKILL, of {COUNT} that were logged"
    for system in peers:
        slow = f"of {_count(system)}" if _count(system) != COUNT else ""
        note = missing.get(system.label, slow)
        yield Line(what, lost.get(ours.label), lost.get(system.label), system.label, "lost", at_most(0, "lost"), note)


def _count(system: System) -> int:
    return COUNT if system.calls >= COUNT else system.calls


def _lost(bench: Bench, system: System) -> float:
    folder = bench.scratch / system.function
    count = _count(system)
    with logging_peers.worker(bench, system, "nothing_lost", folder, count=count) as worker:
        logged = int(worker.next())
        worker.kill()
    if system.requirements:
        time.sleep(SETTLE_SECONDS)
    return max(0, logged - _read(bench, system, folder))


def _read(bench: Bench, system: System, folder: Path) -> int:
    python = logging_peers.python_of(bench, system)
    script, place = WORKERS / "read_metrics.py", bench.scratch / f"{system.function}-read"
    with Worker(python, script, place, {"system": system.function}, variables(python)) as reader:
        return int(reader.ask(folder=str(folder)))
