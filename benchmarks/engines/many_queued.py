"""Ten thousand runs in the queue and a thousand that run, on an engine that is only played: what the agent needs."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figure import Goal, Line, at_most
from benchmarks.workers import Worker, WorkerError

TITLE = "ten thousand queued runs, simulated"

WORKERS = Path(__file__).parent / "workers"
SERVE = Path(__file__).parent.parent / "core" / "workers"  # how workers speak
ENGINE = Path(__file__).parent / "simulated"
RUNS, RUNNING = 10_000, 1_000
_CALLS = Goal("ours <= 1 call for all running runs", lambda ours, peer: ours <= 1)


def measure(bench: Bench) -> Iterator[Line]:
    """The engine starts no process, so what is measured is the toolkit. There is no peer: the limits are absolute."""
    folder = bench.folder("toolkit")
    (folder / "source").mkdir()
    (folder / "source" / "train.py").write_text("print(1)\n")
    runs, running = bench.times(RUNS, RUNS // 10), bench.times(RUNNING, RUNNING // 10)
    settings = {"source": str(folder / "source"), "runs": runs, "running": running}
    home = {"TOOLKIT_HOME": str(folder / "home"), "PYTHONPATH": os.pathsep.join(map(str, (SERVE, ENGINE)))}
    where = f"{runs:,} runs, {running:,} of them running"
    bench.say(f"submitting {runs:,} runs")
    try:
        with Worker(sys.executable, WORKERS / "many_queued.py", folder, settings, home) as worker:
            found = worker.ask(what="fill", seconds=600)
            note = f"{found['seconds_a_submit'] * 1000:.1f} ms a submit; a round of the agent {found['round']:.2f} s"
            yield Line(f"{where}: memory of the agent", found["agent"] / 1e6, None, "", "MB", at_most(300, "MB"), note)
            polled = found["runs_a_poll"]
            note = f"one poll asked for {polled:,} runs"
            yield Line(f"{where}: calls to the engine a round", found["calls"], None, "", "calls", _CALLS, note)
            for what, text in (
                ("listing", "`toolkit runs` in a new process"),
                ("page", "the first hundred of get_runs()"),
            ):
                median = statistics.median(float(worker.ask(what=what)) for _ in range(bench.times(5, 2)))
                yield Line(f"{where}: {text}", median, None, "", "s", at_most(0.5, "s"), "")
            median = statistics.median(float(worker.ask(what="react")) for _ in range(bench.times(5, 2)))
            text = "cancel() to the end of the run and the next one launched"
            yield Line(f"{where}: {text}", median, None, "", "s", at_most(2, "s"), "")
            worker.ask(what="end")
    except WorkerError as error:
        yield Line(f"{where}: memory of the agent", None, None, "", "MB", at_most(300, "MB"), str(error))
