"""Training images a second: ResNet-18 and DenseNet-121 of 32, 64 and 224 pixels, against a plain loop, Lightning, timm.

Everybody reads the same files, in float32, and decodes with two processes. Steady state: ours in an epoch whose images
an earlier one has decoded, its own figure; the peers, who decode in every epoch, amid one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.bench import Bench
from benchmarks.figure import Goal, Line, at_least_times
from benchmarks.interleave import in_turn, medians
from benchmarks.vision import pictures, systems
from benchmarks.vision.pictures import Pictures
from benchmarks.vision.systems import NO_GPU, OURS, PEERS, PLAIN
from benchmarks.workers import Worker

TITLE = "training throughput"

INFORMATION = Goal("none: for information", lambda ours, peer: None)
_NAMES = {"resnet18": "ResNet-18", "densenet121": "DenseNet-121"}
_LIMIT, _BFLOAT16 = "the network's own limit (one batch, on the device already)", "ours, bfloat16"
_ON_GPU = 10  # times as many steps
_LONG = 600.0  # seconds of an epoch


@dataclass(frozen=True)
class Task:
    """What is trained. `steps` of an epoch take the plain loop some seconds on two cores."""

    network: str
    size: int
    batch: int
    steps: int
    rounds: int = 3
    bfloat16: bool = False

    def __str__(self) -> str:
        return f"{_NAMES[self.network]}, {self.size} px, batch {self.batch}"


TASKS = (
    Task("resnet18", 32, 16, 64),
    Task("resnet18", 32, 128, 20, bfloat16=True),
    Task("resnet18", 64, 16, 36),
    Task("resnet18", 224, 16, 8, rounds=2, bfloat16=True),
    Task("densenet121", 32, 16, 32),
    Task("densenet121", 32, 128, 8),
    Task("densenet121", 64, 16, 18),
    Task("densenet121", 224, 16, 6, rounds=2),
)


def measure(bench: Bench) -> Iterator[Line]:
    """A round is an epoch of each; one that does not count comes first, and decodes for ours."""
    missing: dict[str, str] = {}
    with pictures.made(bench) as images, systems.running(bench, (OURS, *PEERS), missing) as workers:
        for task in TASKS:
            values = rates(bench, task, "cpu", images, workers, missing)
            yield from _lines(task, values, missing)
        if not systems.has_gpu():
            yield from _without_gpu()
            return
        for task in TASKS:
            yield from _lines_on_gpu(task, rates(bench, task, "cuda", images, workers, missing), missing)


def rates(
    bench: Bench, task: Task, device: str, images: Pictures, workers: Mapping[str, Worker], missing: dict[str, str]
) -> dict[str, float]:
    """Images a second of everybody, by label."""
    bench.say(f"{task}, {device}")
    count = task.batch * task.steps * (_ON_GPU if device == "cuda" else 1)
    request: dict[str, Any] = {
        "images": str(images.set(count, task.size)), "order": str(images.order(count, task.batch)),
        "batch": task.batch, "size": task.size, "name": task.network, "device": device,
    }  # fmt: skip
    valid = str(images.set(16, task.size, train=False))
    measures: dict[str, Callable[[], float]] = {}
    for label, worker in workers.items():
        more = {"valid": valid} if label == OURS.label else {}
        measures[label] = partial(rate, worker, **request, **more)
    if task.bfloat16 and OURS.label in workers:
        measures[_BFLOAT16] = partial(rate, workers[OURS.label], **request, valid=valid, precision="bfloat16")
    if device == "cuda" and PLAIN.label in workers:
        measures[_LIMIT] = partial(rate, workers[PLAIN.label], **request, synthetic=True)
    return medians(in_turn(measures, bench.times(task.rounds, 1), missing, warm_up=1))


def rate(worker: Worker, **request: Any) -> float:
    """Images a second of an epoch."""
    return float(worker.ask(_LONG, **request)["rate"])


def _lines(task: Task, values: Mapping[str, float], missing: Mapping[str, str]) -> Iterator[Line]:
    what, unit = f"training images/s, {task}, float32, CPU, steady state", "images/s"
    for peer in PEERS:
        note = missing.get(OURS.label) or missing.get(peer.label, "")
        if not note and task == TASKS[0] and peer is PLAIN:
            note = f"all rows: {pictures.HOW}; the DataLoaders have two workers"
        yield Line(what, values.get(OURS.label), values.get(peer.label), peer.label, unit, at_least_times(1), note)
    if task.bfloat16:
        what, note = f"training images/s, {task}, bfloat16, CPU, steady state", missing.get(_BFLOAT16, "")
        yield Line(what, values.get(_BFLOAT16), values.get(OURS.label), "ours, float32", unit, INFORMATION, note)


def _lines_on_gpu(task: Task, values: Mapping[str, float], missing: Mapping[str, str]) -> Iterator[Line]:
    what, unit = f"training images/s, {task}, float32, GPU, steady state", "images/s"
    goals = {PLAIN.label: at_least_times(2), _LIMIT: at_least_times(0.9)}
    for label in (*(peer.label for peer in PEERS), _LIMIT):
        note = missing.get(OURS.label) or missing.get(label, "")
        yield Line(
            what, values.get(OURS.label), values.get(label), label, unit, goals.get(label, at_least_times(1)), note
        )


def _without_gpu() -> Iterator[Line]:
    what = "training images/s on a GPU, steady state"
    for label, goal in ((PLAIN.label, at_least_times(2)), (_LIMIT, at_least_times(0.9))):
        yield Line(what, None, None, label, "images/s", goal, NO_GPU)
