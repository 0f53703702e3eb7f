"""Convert to Image Directory of 50,000 images, from a folder and from archives, against a plain copy and unpackers."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figure import Line, at_most_times
from benchmarks.interleave import in_turn, medians
from benchmarks.surroundings import variables
from benchmarks.vision import pictures
from benchmarks.workers import WorkerError

TITLE = "Convert to Image Directory"

_COUNT = 50_000
_CONVERT = [sys.executable, "-m", "toolkit.vision", "convert-to-image-directory", "--input-path"]


def measure(bench: Bench) -> Iterator[Line]:
    """Whole processes, from their start to their end; what is read is in the page cache."""
    missing: dict[str, str] = {}
    count = bench.times(_COUNT, 5_000)
    outputs = (bench.scratch / f"out-{number}" for number in itertools.count())
    with pictures.made(bench) as images:
        sources = _sources(bench, images.set(count) / "image")
        measures: dict[str, Callable[[], float]] = {}
        for kind, source in sources.items():
            measures[f"ours {kind}"] = partial(_seconds, [*_CONVERT, str(source), "--output-path"], outputs)
            measures[f"plain {kind}"] = partial(_seconds, _plain(kind, source), outputs)
        bench.say("everybody in turn")
        values = medians(in_turn(measures, bench.times(3, 1), missing, warm_up=1))
    for kind in sources:
        what = f"Convert to Image Directory, {count:,} PNGs from {_WORDS[kind]}, warm caches"
        note = missing.get(f"ours {kind}") or missing.get(f"plain {kind}", "")
        ours, plain = values.get(f"ours {kind}"), values.get(f"plain {kind}")
        yield Line(what, ours, plain, _name(kind), "s", at_most_times(2), note)


_WORDS = {"folder": "class folders", ".tar": "a .tar", ".zip": "a .zip"}


def _sources(bench: Bench, folder: Path) -> dict[str, Path]:
    """The class folders, and archives of them, as tar and a zip tool make them."""
    bench.say("archives")
    tar = bench.scratch / "images.tar"
    subprocess.run(["tar", "-cf", str(tar), "-C", str(folder), "."], check=True)
    return {"folder": folder, ".tar": tar, ".zip": Path(shutil.make_archive(str(tar.with_suffix("")), "zip", folder))}


def _name(kind: str) -> str:
    return {"folder": "cp -r", ".tar": "tar -xf", ".zip": "unzip" if shutil.which("unzip") else "python -m zipfile"}[
        kind
    ]


def _plain(kind: str, source: Path) -> list[str]:
    """The command to which the output is added."""
    if kind == "folder":
        return ["cp", "-r", str(source)]
    if kind == ".tar":
        return ["tar", "-xf", str(source), "-C"]
    if shutil.which("unzip"):
        return ["unzip", "-q", str(source), "-d"]
    return [sys.executable, "-m", "zipfile", "-e", str(source)]


def _seconds(command: list[str], outputs: Iterator[Path]) -> float:
    """Seconds of a command whose last word is its output, a new one each time. WorkerError where it fails.

    Nothing is removed before the end: an ext4 without a journal looks long for an inode where many were just deleted.
    """
    out = next(outputs)
    if command[0] == "tar":
        out.mkdir()
    began = time.perf_counter()
    done = subprocess.run([*command, str(out)], env=variables(sys.executable), capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise WorkerError(f"{command[0]}: {' '.join(done.stderr.split())[-300:]}")
    return seconds
