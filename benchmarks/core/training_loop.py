"""What a `run.log` every batch costs the tutorial's training loop."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import REPOSITORY, Bench
from benchmarks.core.logging_peers import mounted
from benchmarks.figure import Line, at_most_times
from benchmarks.peers import PeerUnavailable
from benchmarks.workers import Worker, WorkerError

TITLE = "training loop with run.log every batch"

WORKERS = Path(__file__).parent / "workers"
BATCHES = 50  # of 4 images: about 50 ms a block
SOURCES = {
    "DataLoader": "time of the tutorial's loop as written (batch 4, DataLoader with 2 workers), run.log every batch",
    "preloaded": "time of the loop of src/train.py (batch 4, images in memory), run.log every batch",
}
_PEER = "the same loop without run.log"


def measure(bench: Bench) -> Iterator[Line]:
    """Short blocks with and without in one process; ours is the median of the ratios of neighbours."""
    unit, goal = "relative", at_most_times(1.01)
    try:
        found = _blocks(bench, bench.peers.python("torch", "torch", "numpy"))
    except (PeerUnavailable, WorkerError) as reason:
        yield Line(TITLE, None, None, _PEER, unit, goal, str(reason))
        return
    for source, what in SOURCES.items():
        blocks = found[source]
        ours, bare = (
            statistics.median(one[way] / one["nothing"] for one in blocks) for way in ("run.log", "bare write")
        )
        rate = 4 * BATCHES / statistics.median(one["nothing"] for one in blocks)
        note = f"{rate:,.0f} images/s without; a bare line-buffered write of a ready line comes to {bare:.3f}"
        yield Line(what, ours, 1.0, _PEER, unit, goal, note)


def _blocks(bench: Bench, python: str) -> dict[str, list[dict[str, float]]]:
    """For each source of batches, the seconds of neighbouring blocks, by what is logged in them."""
    environment = {
        "TOOLKIT_RUN_DIR": str(bench.folder("run")),
        "PYTHONPATH": os.pathsep.join([mounted(bench), str(REPOSITORY / "src")]),
    }
    found: dict[str, list[dict[str, float]]] = {source: [] for source in SOURCES}
    with Worker(python, WORKERS / "training_loop.py", bench.folder("loop"), environment=environment) as loop:
        for number in range(bench.times(10, 3)):
            bench.say(f"round {number + 1}")
            for source, blocks in found.items():
                blocks += loop.ask(source=source, batches=BATCHES, blocks=30)
    return found
