"""100,000 numbers from the spool of a run into MLflow, against `MlflowClient.log_batch` on the same kind of store."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figure import Line, at_least_times
from benchmarks.interleave import in_turn, medians
from benchmarks.peers import PeerUnavailable
from benchmarks.workers import Worker, start_all

TITLE = "draining into MLflow"

WORKERS = Path(__file__).parent / "workers"
COUNT = 100_000
_SETTINGS = {"names": ["loss", "accuracy", "learning_rate", "images_per_second"]}
_OURS, _PEER = "the toolkit's tracker", "MlflowClient.log_batch(1000)"


def measure(bench: Bench) -> Iterator[Line]:
    """Ours from the poke to the mark that MLflow has the whole run; MLflow's from create_run to set_terminated."""
    missing: dict[str, str] = {}
    count = bench.times(COUNT, COUNT // 5)
    home = {"TOOLKIT_HOME": str(bench.scratch / "home")}
    workers = {_OURS: Worker(sys.executable, WORKERS / "drain_toolkit.py", bench.scratch / "toolkit", _SETTINGS, home)}
    try:
        python = bench.peers.python("mlflow", f"mlflow=={importlib.metadata.version('mlflow')}", "virtualenv")
        workers[_PEER] = Worker(python, WORKERS / "drain_mlflow.py", bench.scratch / "mlflow", _SETTINGS)
    except PeerUnavailable as reason:
        missing[_PEER] = str(reason)
    with ExitStack() as stack:
        running = start_all(stack, workers, missing)
        measures = {
            name: lambda worker=worker: float(worker.ask(count=count, seconds=600)) for name, worker in running.items()
        }
        values = medians(in_turn(measures, bench.times(3, 1), missing, warm_up=0))
    note = missing.get(_OURS) or missing.get(_PEER) or ""
    what = f"draining {count:,} numbers into MLflow (sqlite)"
    yield Line(what, values.get(_OURS), values.get(_PEER), _PEER, "numbers/s", at_least_times(0.9), note)
