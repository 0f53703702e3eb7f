"""CIFAR-10's top-1 accuracy after a few epochs of one recipe, ours and a plain torchvision loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.figure import Goal, Line, at_least_times, at_most, at_most_times
from benchmarks.vision import pictures, systems
from benchmarks.vision.pictures import Pictures
from benchmarks.vision.systems import NO_GPU, OURS, System
from benchmarks.workers import Worker, WorkerError
from toolkit.vision.data.transformation import init_image_transformation
from toolkit.vision.training.settings import Settings

TITLE = "CIFAR-10 accuracy"

_PLAIN = System("plain torchvision loop", "accuracy_plain", "torchvision")
_EPOCHS, _BATCH, _RATE = 2, 128, 0.05
_MARGIN = 2.0  # percentage points: two seeds of one recipe differ by as much after so few epochs
_NOT_BELOW = Goal(f"ours >= peer - {_MARGIN:g} %", lambda ours, peer: None if peer is None else ours >= peer - _MARGIN)
_UNPUBLISHED = (
    "no published figure for this recipe was found: those of torchvision's ResNet-18 on CIFAR-10 start from ImageNet's "
    "weights, and those from scratch have another stem (3x3, no pooling) and 30 or more epochs"
)
_LONG = 1800.0  # seconds of one training


def measure(bench: Bench) -> Iterator[Line]:
    """One training each: minutes."""
    missing: dict[str, str] = {}
    images = bench.times(50_000, 2_560)
    recipe = (
        f"torchvision's ResNet-18 from scratch, {_EPOCHS} epochs of {images:,} images, batch {_BATCH}, random crops "
        "(padding 4) and flips"
    )
    with pictures.made(bench) as sets, systems.running(bench, (OURS, _PLAIN), missing) as workers:
        found: dict[str, Any] = {}
        try:
            if missing:
                raise WorkerError(" ".join(missing.values()))
            found = _trained(bench, sets, workers, images, bench.times(10_000, 1_000))
        except WorkerError as reason:
            missing["all"] = str(reason)
    yield from _lines(recipe, found, missing.get("all", ""))
    what = "wall time to 94 % on CIFAR-10, ResNet-18"
    note = "not measured: its recipe is to be chosen on a GPU" if systems.has_gpu() else NO_GPU
    yield Line(what, None, None, "public speed records", "s", at_most(60, "s"), note)


def _trained(bench: Bench, sets: Pictures, workers: dict[str, Worker], images: int, tests: int) -> dict[str, Any]:
    """Percent and seconds of both; the same judge for both, on the test images as they are."""
    device = "cuda" if systems.has_gpu() else "cpu"
    valid = str(sets.set(tests, train=False))
    request: dict[str, Any] = {
        "images": str(sets.set(images)), "valid": valid, "order": str(sets.order(images, _BATCH, _EPOCHS)),
        "batch": _BATCH, "device": device,
    }  # fmt: skip
    transformation = bench.scratch / "transformation"
    init_image_transformation(
        transformation, resize=False, center_crop=False, random_crop=True, random_crop_size=32, random_crop_padding=4
    )
    settings = Settings(epochs=_EPOCHS, learning_rate=_RATE)
    bench.say("ours")
    more = {"epochs": _EPOCHS, "learning_rate": _RATE, "transformation_path": str(transformation)}
    ours = workers[OURS.label].ask(_LONG, name="resnet18", **more, **request)
    bench.say(_PLAIN.label)
    rates = [settings.rate(epoch) for epoch in range(_EPOCHS)]
    plain = workers[_PLAIN.label].ask(_LONG, what="train", rates=rates, **request)
    weights = _weights(bench)
    judged = workers[_PLAIN.label].ask(what="judge", weights=str(weights), valid=valid, batch=_BATCH, device=device)
    return {"ours": ours, "plain": plain, "judged": judged["top1"]}


def _weights(bench: Bench) -> Path:
    """The weights of the model that the worker of ours trained last."""
    return bench.scratch / f"worker-{OURS.script}" / "model" / "data" / "model.pth"


def _lines(recipe: str, found: dict[str, Any], reason: str) -> Iterator[Line]:
    ours = plain = ours_seconds = plain_seconds = None
    note = reason
    if found:
        ours, plain = 100 * found["judged"], 100 * found["plain"]["top1"]
        ours_seconds, plain_seconds = found["ours"]["seconds"], found["plain"]["seconds"]
        note = f"one training each; by its own validation ours has {_own(found)}"
    what = f"CIFAR-10 top-1 accuracy, {recipe}"
    yield Line(what, ours, plain, _PLAIN.label, "%", _NOT_BELOW, note)
    yield Line(what, ours, None, "published figure", "%", at_least_times(1), reason or _UNPUBLISHED)
    what = f"wall time of that training, evaluation after each epoch included: {recipe}"
    yield Line(what, ours_seconds, plain_seconds, _PLAIN.label, "s", at_most_times(1), reason)


def _own(found: dict[str, Any]) -> str:
    return f"{100 * found['ours']['top1']:.1f} %"
