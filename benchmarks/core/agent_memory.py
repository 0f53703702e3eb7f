"""The memory of the agent while a hundred runs wait."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figure import Line, at_most
from benchmarks.workers import Worker, WorkerError

TITLE = "memory of the agent"

WORKERS = Path(__file__).parent / "workers"
RUNS = 100
LIMIT_MB = 150
# Ends by itself where nobody tells it to.
_SCRIPT = """\
import os, sys, time
deadline = time.time() + 300
while not os.path.exists(sys.argv[1]) and time.time() < deadline:
    time.sleep(0.05)
"""


def measure(bench: Bench) -> Iterator[Line]:
    """Resident memory (RSS), which counts pages that several processes share once for each of them."""
    folder = bench.folder("toolkit")
    (folder / "source").mkdir()
    (folder / "source" / "wait.py").write_text(_SCRIPT)
    settings = {"source": str(folder / "source"), "stop": str(folder / "stop")}
    home = {"TOOLKIT_HOME": str(folder / "home")}
    found, note = None, ""
    try:
        with Worker(sys.executable, WORKERS / "agent_memory.py", folder, settings, home) as worker:
            found = worker.ask(count=RUNS)
    except WorkerError as error:
        note = str(error)
    goal = at_most(LIMIT_MB, "MB")
    if found is None:
        yield Line(f"memory of the agent, {RUNS} runs in the queue", None, None, "", "MB", goal, note)
        return
    facts = f"{found['queued']} queued; no peer: the limit is absolute"
    yield Line(f"memory of the agent, {RUNS} runs in the queue", found["agent"] / 1e6, None, "", "MB", goal, facts)
    facts = f"{found['processes']} processes, {found['private'] / 1e6:.0f} MB of it their own (USS); no peer"
    whole = (found["agent"] + found["tracker"]) / 1e6
    yield Line(f"memory of the agent and its tracker, {RUNS} runs in the queue", whole, None, "", "MB", goal, facts)
