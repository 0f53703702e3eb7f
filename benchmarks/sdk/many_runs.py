"""Many runs: `get_metrics(recursive=True)`, and the first page of `get_runs`, against MLflow's client."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.figure import Goal, Line, at_most, at_most_times
from benchmarks.interleave import in_turn, medians
from benchmarks.peers import PeerUnavailable
from benchmarks.workers import Worker, WorkerError, start_all

TITLE = "many runs"

WORKERS = Path(__file__).parent / "workers"
SERVE = Path(__file__).parent.parent / "core" / "workers"  # how workers speak, and the one that is a server
RUNS, CHILDREN, METRICS, PAGE = 10_000, 300, 20, 100
_OURS, _STORE, _SERVER = "the toolkit", "MlflowClient, embedded store", "MlflowClient, server"
_FIFTY_TIMES = at_most_times(1 / 50)


def measure(bench: Bench) -> Iterator[Line]:
    """Everybody has the same runs: in a process that has them open, asked again and again in turn."""
    missing: dict[str, str] = {}
    runs = bench.times(RUNS, RUNS // 5)
    settings = {"runs": runs, "children": CHILDREN, "metrics": METRICS, "page": min(PAGE, runs // 100)}
    bench.say(f"making {runs:,} runs")
    with ExitStack() as stack:
        workers = start_all(stack, _workers(bench, settings, missing), missing)
        _add_server(bench, stack, workers, settings, missing)
        for what, text, goal in _questions(runs, settings["page"]):
            measures = {name: partial(_ask, worker, what) for name, worker in workers.items()}
            values = medians(in_turn(measures, bench.times(9, 3), missing))
            for peer in (_STORE, _SERVER):
                note = missing.get(_OURS) or missing.get(peer) or ""
                yield Line(text, values.get(_OURS), values.get(peer), peer, "s", goal, note)


def _questions(runs: int, page: int) -> list[tuple[str, str, Goal]]:
    metrics = f"get_metrics(recursive=True), {CHILDREN} children with {METRICS} metrics; MLflow: get_run for each"
    first = f"get_runs, the first {page} of {runs:,} runs"
    return [
        ("metrics", metrics, _FIFTY_TIMES),
        ("page", first, at_most(0.3, "s")),
        ("tagged", f"{first} with a tag that every 100th has", at_most(0.3, "s")),
    ]


def _ask(worker: Worker, what: str) -> float:
    return float(worker.ask(what=what))


def _workers(bench: Bench, settings: dict[str, Any], missing: dict[str, str]) -> dict[str, Worker]:
    common = {"PYTHONPATH": str(SERVE)}
    home = {"TOOLKIT_HOME": str(bench.scratch / "home"), **common}
    workers = {_OURS: Worker(sys.executable, WORKERS / "runs_toolkit.py", bench.scratch / "toolkit", settings, home)}
    folder = bench.folder("mlflow")
    try:
        given = {**settings, "uri": f"sqlite:///{folder}/mlflow.db"}
        workers[_STORE] = Worker(_mlflow(bench), WORKERS / "runs_mlflow.py", folder, given, common)
    except PeerUnavailable as reason:
        missing[_STORE] = missing[_SERVER] = str(reason)
    return workers


def _add_server(
    bench: Bench, stack: ExitStack, workers: dict[str, Worker], settings: dict[str, Any], missing: dict[str, str]
) -> None:
    """A client of a server that has the same store."""
    if _STORE in missing:
        missing[_SERVER] = missing[_STORE]
        return
    bench.say("starting an MLflow server")
    python, folder = _mlflow(bench), bench.scratch / "mlflow"
    try:
        server = stack.enter_context(Worker(python, SERVE / "mlflow_server.py", folder, {"folder": str(folder)}))
        url = server.ask(seconds=90)
        if not url:
            raise WorkerError(f"the MLflow server does not come up: see {folder}")
        client = Worker(
            python,
            WORKERS / "runs_mlflow.py",
            bench.folder("client"),
            {**settings, "uri": url},
            {"PYTHONPATH": str(SERVE)},
        )
        workers[_SERVER] = stack.enter_context(client)
    except WorkerError as reason:
        missing[_SERVER] = str(reason)


def _mlflow(bench: Bench) -> str:
    return bench.peers.python("mlflow", f"mlflow=={importlib.metadata.version('mlflow')}", "virtualenv")
