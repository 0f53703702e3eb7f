"""Weights that differ when a training is killed (SIGKILL) in the middle of an epoch, and then goes on."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.figure import Line, at_most
from benchmarks.surroundings import variables
from benchmarks.vision import commands, pictures
from benchmarks.workers import WorkerError
from toolkit.vision.data.transformation import init_image_transformation
from toolkit.vision.networks.untrained import resnet

TITLE = "resume after SIGKILL"

_EPOCHS, _BATCH, _STEPS = 2, 16, 200
_STEP = re.compile(r"Epoch: \[(\d+)/\d+\]\tIter: \[(\d+)/")
_RESUMED = re.compile(r"Resuming at epoch (\d+), step (\d+)")
_COMPARE = """
import sys, torch
one, other = (torch.load(path, weights_only=True) for path in sys.argv[1:])
print(sum(int((one[name] != other[name]).sum()) for name in one), sum(tensor.numel() for tensor in one.values()))
"""


def measure(bench: Bench) -> Iterator[Line]:
    """ResNet-18 with random flips: once to the end, once killed in its last epoch and called again."""
    what = f"weights that differ from an uninterrupted training, ResNet-18, killed (SIGKILL) in epoch {_EPOCHS}"
    goal = at_most(0, "weights")
    try:
        differing, note = _differing(bench)
    except WorkerError as reason:
        yield Line(what, None, None, "", "weights", goal, str(reason))
        return
    yield Line(what, differing, None, "", "weights", goal, note)


def _differing(bench: Bench) -> tuple[float, str]:
    resnet(bench.scratch / "untrained", "resnet18", pretrained=False)
    init_image_transformation(bench.scratch / "flips", resize=False, center_crop=False)
    with pictures.made(bench) as images:
        given: dict[str, Any] = {
            "untrained_model_path": bench.scratch / "untrained", "train_data_path": images.set(_BATCH * _STEPS),
            "valid_data_path": images.set(64, train=False), "transformation_path": bench.scratch / "flips",
            "epochs": _EPOCHS, "batch_size": _BATCH, "print_freq": 1, "keep": "last", "checkpoint_seconds": 0.5,
            "cache_path": bench.scratch / "cache",
        }  # fmt: skip
        bench.say("to the end")
        whole, broken = bench.scratch / "whole", bench.scratch / "broken"
        commands.output("train-pytorch-model", bench.scratch / "log.txt", trained_model_path=whole, **given)
        bench.say("killed")
        killed = _kill(bench, trained_model_path=broken, **given)
        bench.say("again")
        text = commands.output("train-pytorch-model", bench.scratch / "log.txt", trained_model_path=broken, **given)
    resumed = _RESUMED.search(text)
    if resumed is None or int(resumed[1]) != _EPOCHS:
        raise WorkerError("it did not go on from a checkpoint of the epoch in which it was killed")
    differing, weights = _compare(whole, broken)
    note = f"of {weights:,}; killed after step {killed} of {_STEPS}, went on from step {resumed[2]}; no peer"
    return float(differing), note


def _kill(bench: Bench, **given: Any) -> int:
    """Kill a training in its last epoch, some steps after it wrote a checkpoint there; the step."""
    output = Path(given["trained_model_path"])
    checkpoint = output.with_name(f"{output.name}.checkpoint") / "checkpoint.pt"
    before, since = 0.0, 0
    with commands.module("train-pytorch-model", bench.scratch / "log.txt", **given) as process:
        assert process.stdout is not None
        for epoch, step in (map(int, found.groups()) for line in process.stdout if (found := _STEP.match(line))):
            if epoch < _EPOCHS:
                continue
            written = checkpoint.stat().st_mtime if checkpoint.exists() else 0.0
            before = before or written
            since = since or (step if written > before else 0)
            if since and step >= max(since + 5, _STEPS // 2):
                process.kill()
                return step
    raise WorkerError(f"no checkpoint was written early enough in epoch {_EPOCHS}, or it failed")


def _compare(one: Path, other: Path) -> tuple[int, int]:
    """The numbers that differ, and all of them."""
    paths = [str(folder / "data" / "model.pth") for folder in (one, other)]
    command = [sys.executable, "-c", _COMPARE, *paths]
    answer = subprocess.run(command, env=variables(sys.executable), capture_output=True, text=True, check=True)
    differing, weights = answer.stdout.split()
    return int(differing), int(weights)
