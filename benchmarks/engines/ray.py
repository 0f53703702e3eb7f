"""A warm submit to a Ray cluster, against Ray's own job client on the same cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from benchmarks.bench import Bench
from benchmarks.engines import places
from benchmarks.figure import Line, at_most_times
from benchmarks.interleave import in_turn, medians
from benchmarks.workers import Worker, start_all
from tests.rig import ray_cluster

TITLE = "submit to first line, Ray"

_OURS, _CLIENT = "the toolkit", "Ray's job client"


def measure(bench: Bench) -> Iterator[Line]:
    """A cluster of one node. The clock stops when the line has arrived on this side, through the job's log."""
    missing: dict[str, str] = {}
    source = places.source(bench)
    with ExitStack() as stack:
        bench.say("starting a Ray cluster")
        cluster = stack.enter_context(ray_cluster.serve(cpus=4))
        target = f"type: ray, address: '{cluster.address}', python: {sys.executable}, folder: {bench.folder('nodes')}"
        ours = {"source": str(source), "target": target}
        peer = {"source": str(source), "address": cluster.address}
        python = str(ray_cluster.executable().parent / "python")
        home = str(bench.scratch / "home")
        workers = start_all(
            stack,
            {
                _OURS: places.worker(
                    sys.executable, "first_line_toolkit", bench.scratch / "ours", ours, TOOLKIT_HOME=home
                ),
                _CLIENT: places.worker(python, "first_line_ray", bench.scratch / "client", peer),
            },
            missing,
        )
        measures = {name: partial(_seen, worker) for name, worker in workers.items()}
        values = medians(in_turn(measures, bench.times(11, 3), missing, warm_up=2))
    note = missing.get(_OURS) or missing.get(_CLIENT) or ""
    text = "Ray: warm submit to the first line seen here"
    yield Line(text, values.get(_OURS), values.get(_CLIENT), _CLIENT, "s", at_most_times(1), note)


def _seen(worker: Worker) -> float:
    return float(worker.ask()["seen"])
