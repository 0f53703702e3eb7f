"""A million small images: their list read, the set split, and a training's first step."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.figure import Line, at_most
from benchmarks.peers import PeerUnavailable
from benchmarks.surroundings import variables
from benchmarks.vision import commands, pictures
from benchmarks.vision.systems import PLAIN, WORKERS
from benchmarks.workers import WorkerError
from toolkit.vision.networks.untrained import resnet

TITLE = "a million images"

_MILLION = 1_000_000
_FILES = 100  # that all the images are links to; a file has 65,000 at most
_GOAL = at_most(60, "s")
_LIST = (
    "import sys, time\nfrom toolkit.vision.data.image_directory import ImageDirectory\nbegan = time.perf_counter()\n"
    "ImageDirectory.load(sys.argv[1], 'Training dataset')\nprint(time.perf_counter() - began)"
)
_FOLDER = (
    "import sys, time\nfrom torchvision.datasets import ImageFolder\nbegan = time.perf_counter()\n"
    "ImageFolder(sys.argv[1])\nprint(time.perf_counter() - began)"
)


def measure(bench: Bench) -> Iterator[Line]:
    """Once each: it takes minutes. The files are hard links of a hundred PNGs, in ten class folders."""
    count = bench.times(_MILLION, 50_000)
    with pictures.made(bench) as images:
        valid = images.set(64, train=False)
        bench.say(f"{count:,} links")
        root = bench.scratch / "million"
        images.worker.ask(900.0, what="links", root=str(root), source=str(images.set(_FILES)), count=count)
    try:
        python, missing = PLAIN.python(bench.peers), ""
    except PeerUnavailable as reason:
        python, missing = "", str(reason)
    yield _listed(bench, count, root, python, missing)
    yield _split(bench, count, root)
    yield from _first_steps(bench, count, root, valid, python, missing)


def _listed(bench: Bench, count: int, root: Path, python: str, missing: str) -> Line:
    bench.say("the list")
    ours, peer, note = None, None, missing
    try:
        ours = float(_run([sys.executable, "-c", _LIST, str(root)]))
        peer = float(_run([python, "-c", _FOLDER, str(root / "image")])) if python else None
    except WorkerError as reason:
        note = str(reason)
    what = f"ImageDirectory.load, {count:,} images"
    return Line(what, ours, peer, "torchvision's ImageFolder, a scan", "s", _GOAL, note or "files: links of 100 PNGs")


def _split(bench: Bench, count: int, root: Path) -> Line:
    """The command, and a copy of links by cp."""
    bench.say("the split")
    outputs = [bench.scratch / name for name in ("one", "two", "links")]
    ours, peer, note = None, None, ""
    try:
        began = time.perf_counter()
        log = bench.scratch / "log.txt"
        commands.output("split-image-directory", log, input_path=root, output1_path=outputs[0], output2_path=outputs[1])
        ours = time.perf_counter() - began
        began = time.perf_counter()
        _run(["cp", "-rl", str(root), str(outputs[2])])
        peer = time.perf_counter() - began
    except WorkerError as reason:
        note = str(reason)
    for folder in outputs:
        shutil.rmtree(folder, ignore_errors=True)
    return Line(f"Split Image Directory, {count:,} images", ours, peer, "cp -rl", "s", _GOAL, note)


def _first_steps(bench: Bench, count: int, root: Path, valid: Path, python: str, missing: str) -> Iterator[Line]:
    """From the start of the process to the end of the first step."""
    resnet(bench.scratch / "untrained", "resnet18", pretrained=False)
    given: dict[str, Any] = {
        "untrained_model_path": bench.scratch / "untrained", "train_data_path": root, "valid_data_path": valid,
        "cache_path": bench.scratch / "cache", "print_freq": 1,
    }  # fmt: skip
    peer = None
    try:
        bench.say(PLAIN.label)
        peer = _plain_first_step(python, root) if python else None
    except WorkerError as reason:
        missing = str(reason)
    kept = f"decoded images kept ({count * 32 * 32 * 3 / 1e9:.1f} GB)"
    for how, gigabytes in ((kept, 20.0), ("streaming", 0.0)):
        what = f"start of Train PyTorch Model to its first step, ResNet-18, {count:,} images, 32 px, {how}"
        bench.say(f"first step, {how}")
        ours, note = None, missing
        try:
            ours = _first_step(bench, cache_limit_gb=gigabytes, trained_model_path=bench.scratch / "model", **given)
        except WorkerError as reason:
            note = str(reason)
        shutil.rmtree(bench.scratch / "cache", ignore_errors=True)
        yield Line(what, ours, peer, PLAIN.label, "s", _GOAL, note)


def _first_step(bench: Bench, **given: Any) -> float:
    began = time.perf_counter()
    with commands.module("train-pytorch-model", bench.scratch / "log.txt", **given) as process:
        assert process.stdout is not None
        if not any(line.startswith("Epoch: [1/") for line in process.stdout):
            raise commands.failure("train-pytorch-model", bench.scratch / "log.txt")
        seconds = time.perf_counter() - began
        process.terminate()  # it ends its decoders
        process.wait()
    return seconds


def _plain_first_step(python: str, root: Path) -> float:
    began = time.perf_counter()
    _run([python, str(WORKERS / "first_step_plain.py"), str(root)])
    return time.perf_counter() - began


def _run(command: list[str]) -> str:
    """What a command prints. WorkerError where it fails."""
    done = subprocess.run(command, env=variables(command[0]), capture_output=True, text=True)
    if done.returncode != 0:
        raise WorkerError(f"{command[0]}: {' '.join(done.stderr.split())[-300:]}")
    return done.stdout.strip()
