"""The mean loss of the same steps, ours and a plain torchvision loop: one seed, one order, the same images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.bench import Bench
from benchmarks.figure import Line, at_most
from benchmarks.vision import pictures, systems
from benchmarks.vision.pictures import Pictures
from benchmarks.vision.systems import OURS, PLAIN
from benchmarks.vision.throughput import INFORMATION
from benchmarks.workers import Worker, WorkerError

TITLE = "the same loss as a plain loop"

_NETWORKS = {"resnet18": "ResNet-18", "densenet121": "DenseNet-121"}
_BATCH, _STEPS = 16, 30
_NOISE = 1e-7
_UNIT = "relative"


def measure(bench: Bench) -> Iterator[Line]:
    """Relative differences of the mean loss of an epoch. Nothing of it is a matter of chance: once is enough."""
    missing: dict[str, str] = {}
    with pictures.made(bench) as images, systems.running(bench, (OURS, PLAIN), missing) as workers:
        for name, title in _NETWORKS.items():
            bench.say(title)
            yield from _lines(name, title, bench.times(_STEPS, 20), images, workers, missing)


def _lines(
    name: str, title: str, steps: int, images: Pictures, workers: Mapping[str, Worker], missing: Mapping[str, str]
) -> Iterator[Line]:
    count = _BATCH * steps
    request: dict[str, Any] = {
        "images": str(images.set(count)), "order": str(images.order(count, _BATCH)), "batch": _BATCH, "size": 32,
        "name": name, "device": "cpu",
    }  # fmt: skip
    ours = {**request, "valid": str(images.set(16, train=False))}
    what = f"mean loss of {steps} steps, {title}, 32 px, batch {_BATCH}: difference from the plain loop"
    goal, note = at_most(1e-5, _UNIT), " ".join(missing.values())
    try:
        if missing:
            raise WorkerError(note)
        plain = workers[PLAIN.label].ask(**request)["loss"]
        noisy = workers[PLAIN.label].ask(**request, noise=_NOISE)["loss"]
        same, other = (workers[OURS.label].ask(**ours, channels_last=way)["loss"] for way in ("no", "auto"))
    except WorkerError as reason:
        yield Line(what, None, None, PLAIN.label, _UNIT, goal, str(reason))
        return
    said = f"losses {same:.7f} and {plain:.7f}"
    yield Line(f"{what}, channels_last=no", abs(same / plain - 1), 0.0, PLAIN.label, _UNIT, goal, said)
    chaos = f"the plain loop, its pixels changed by {_NOISE:g}"
    said = f"losses {other:.7f}, {noisy:.7f} with changed pixels: how much this network makes of roundings"
    yield Line(
        f"{what}, channels_last=auto", abs(other / plain - 1), abs(noisy / plain - 1), chaos, _UNIT, INFORMATION, said
    )
