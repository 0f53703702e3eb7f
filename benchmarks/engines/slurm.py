"""A warm submit to a Slurm cluster, against bare sbatch, submitit and torchx; and the state that each tells then."""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

from benchmarks.bench import Bench
from benchmarks.engines import places
from benchmarks.figure import Goal, Line, at_most_more, at_most_times
from benchmarks.interleave import in_turn, medians
from benchmarks.peers import PeerUnavailable
from benchmarks.workers import Worker, start_all
from tests.rig import slurm

TITLE = "submit to first line, Slurm"

_OURS, _SBATCH = "the toolkit", "sbatch"
_PEERS = {"submitit": ("submitit",), "torchx": ("torchx-nightly", "setuptools<81")}
_GOALS: dict[str, Goal] = {_SBATCH: at_most_more(0.3, "s"), "submitit": at_most_times(1), "torchx": at_most_times(1)}
_TRUE = Goal("ours tells the true state", lambda ours, peer: ours == 1)


def measure(bench: Bench) -> Iterator[Line]:
    """By the clock of the script. Slurm looks once a second for what it may start: each finds another moment.

    That lot decides the whole time, so what is left without Slurm's own wait is told as well.
    """
    missing: dict[str, str] = {}
    states: dict[str, str] = {}
    values: dict[str, float] = {}
    own: dict[str, list[float]] = {}
    if slurm.why_not():
        missing = dict.fromkeys((_OURS, *_GOALS), slurm.why_not())
    else:
        with ExitStack() as stack:
            cluster = stack.enter_context(places.slurm_cluster())
            workers = start_all(stack, _workers(bench, str(cluster.configuration), missing), missing)
            counter = itertools.count()
            measures: dict[str, Callable[[], float]] = {
                name: partial(_written, worker, name, states, own, cluster, counter) for name, worker in workers.items()
            }
            values = medians(in_turn(measures, bench.times(15, 4), missing, warm_up=1))
    whole = "Slurm: warm submit to the first line"
    own_values = medians({name: seconds[1:] for name, seconds in own.items() if name in values})
    for what, found in ((whole, values), (f"{whole}, without the time that the job waited in Slurm", own_values)):
        for peer, goal in _GOALS.items():
            note = missing.get(_OURS) or missing.get(peer) or ""
            yield Line(what, found.get(_OURS), found.get(peer), peer, "s", goal, note)
    ours = None if _OURS in missing else float(states.get(_OURS) == "Completed")
    for peer in _PEERS:
        note = missing.get(_OURS) or f"ours: {states.get(_OURS)}; {peer}: {states.get(peer) or missing.get(peer)}"
        told = None if peer not in states else float(states[peer] in ("COMPLETED", "SUCCEEDED"))
        yield Line("Slurm without accounting: the state of a run that is over", ours, told, peer, "", _TRUE, note)


def _workers(bench: Bench, configuration: str, missing: dict[str, str]) -> dict[str, Worker]:
    source = places.source(bench)
    script = {"script": str(source / "first.py")}
    target = f"type: slurm, config: {configuration}, python: {sys.executable}"
    home = str(bench.scratch / "home")
    ours = {"source": str(source), "target": target}
    conf = {"SLURM_CONF": configuration}
    workers = {
        _OURS: places.worker(
            sys.executable, "first_line_toolkit", bench.scratch / "ours", ours, TOOLKIT_HOME=home, **conf
        ),
        _SBATCH: places.worker(sys.executable, "first_line_sbatch", bench.scratch / "sbatch", script, **conf),
    }
    for peer, requirements in _PEERS.items():
        try:
            python = bench.peers.python(f"{peer}-slurm", *requirements)
        except PeerUnavailable as reason:
            missing[peer] = str(reason)
            continue
        workers[peer] = places.worker(python, f"first_line_{peer}", bench.scratch / peer, script, **conf)
    return workers


def _written(
    worker: Worker,
    name: str,
    states: dict[str, str],
    own: dict[str, list[float]],
    cluster: slurm.Slurm,
    counter: Iterator[int],
) -> float:
    time.sleep(random.uniform(0, 1))
    answer = worker.ask() if name == _OURS else worker.ask(number=next(counter))
    states[name] = str(answer.get("state", ""))
    own.setdefault(name, []).append(float(answer["written"]) - cluster.wait_of(str(answer["job"])))
    return float(answer["written"])
