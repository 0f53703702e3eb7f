"""Training images a second where the data path is the limit: a network of 62,006 parameters, cold and steady."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks.bench import Bench
from benchmarks.figure import Line, at_least_times
from benchmarks.interleave import in_turn, medians
from benchmarks.vision import pictures, systems
from benchmarks.vision.systems import OURS, PEERS, PLAIN
from benchmarks.vision.throughput import rate
from benchmarks.workers import Worker, WorkerError

TITLE = "training throughput where the data path is the limit"

_BATCH, _STEPS = 16, 800
_EPOCHS = 4
_WHAT = {
    False: "steady state",
    True: "cold (the first epoch, decoding and the start of the decoders included)",
}


def measure(bench: Bench) -> Iterator[Line]:
    """Cold and steady epochs of everybody in turn. Ours is cold where its cache is empty, the peers in each epoch."""
    missing: dict[str, str] = {}
    with pictures.made(bench) as images, systems.running(bench, (OURS, *PEERS), missing) as workers:
        count = _BATCH * bench.times(_STEPS, 200)
        request: dict[str, Any] = {
            "images": str(images.set(count)), "order": str(images.order(count, _BATCH)), "batch": _BATCH, "size": 32,
            "name": "small", "device": "cpu",
        }  # fmt: skip
        ours = {**request, "valid": str(images.set(16, train=False))}
        measures: dict[str, Callable[[], float]] = {}
        for label, worker in workers.items():
            asked = ours if label == OURS.label else request
            for cold in _WHAT:
                measures[f"{label} {cold}"] = partial(rate, worker, cold=cold, **asked)
        bench.say("everybody in turn")
        values = medians(in_turn(measures, bench.times(3, 1), missing, warm_up=1))
        clock = _by_the_wall(workers[OURS.label], count, ours) if OURS.label in workers else ""
    for cold, how in _WHAT.items():
        what = f"training images/s, a small network, 32 px, batch {_BATCH}, CPU, {how}"
        for peer in PEERS:
            ours_, theirs = f"{OURS.label} {cold}", f"{peer.label} {cold}"
            note = missing.get(OURS.label) or missing.get(ours_) or missing.get(peer.label) or missing.get(theirs, "")
            if not note and peer is PLAIN and not cold:
                note = clock
            goal = at_least_times(1.3 if peer is PLAIN else 1)
            yield Line(what, values.get(ours_), values.get(theirs), peer.label, "images/s", goal, note)


def _by_the_wall(worker: Worker, count: int, request: dict[str, Any]) -> str:
    """The rate of ours from outside: what further epochs add to the time of a call."""
    try:
        one, more = (float(worker.ask(**request, epochs=epochs)["seconds"]) for epochs in (1, 1 + _EPOCHS))
    except WorkerError as reason:
        return str(reason)
    return (
        f"ours by its own clock; by the time that {_EPOCHS} further epochs take, {_EPOCHS * count / (more - one):,.0f}"
    )
