"""A second submit over SSH of an unchanged 1 GB environment and 10,000 files of sources."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.engines import places
from benchmarks.figure import Goal, Line, at_most
from benchmarks.workers import WorkerError
from tests.rig import sshd

TITLE = "second submit, 1 GB and 10,000 files, SSH"

MEGABYTES, FILES = 1000, 10_000
_NOTHING = Goal("ours <= 0 transfers", lambda ours, peer: ours <= 0)
_WHEEL = "ballast-1.0-py3-none-any.whl"
_ABOUT = {
    "METADATA": "Metadata-Version: 2.1\nName: ballast\nVersion: 1.0\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: benchmark\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}


def measure(bench: Bench) -> Iterator[Line]:
    """The first submit sends all of it; then the same again and again. Each start of rsync is counted."""
    size = bench.times(MEGABYTES, 50)
    what = f"SSH: second submit, {size / 1000:g} GB of environment and {FILES:,} files, to the first line"
    count = "SSH: starts of rsync in the second to the last submit"
    if sshd.why_not():
        yield Line(what, None, None, "", "s", at_most(1, "s"), sshd.why_not())
        return
    with ExitStack() as stack:
        host = stack.enter_context(sshd.serve(bench.folder("host")))
        source = places.source(bench)
        for number in range(FILES):
            file = source / f"part-{number % 100}" / f"{number}.txt"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"file {number}\n" * 20)
        programs, log = _counting_rsync(bench)
        given = {"source": str(source), "target": host.settings, "requirements": str(_requirements(bench, size))}
        environment = {
            "TOOLKIT_HOME": str(bench.scratch / "home"),
            "PATH": os.pathsep.join((str(programs), os.environ["PATH"])),
        }
        try:
            worker = places.worker(sys.executable, "first_line_toolkit", bench.scratch / "ours", given, **environment)
            worker = stack.enter_context(worker)
            bench.say(f"building and sending {size} MB")
            first = float(worker.ask(seconds=900)["seen"])
            sent = _starts(log)
            seconds = [float(worker.ask()["seen"]) for _ in range(bench.times(7, 3))]
        except WorkerError as error:
            yield Line(what, None, None, "", "s", at_most(1, "s"), str(error))
            return
        note = f"the first {first:.1f} s, with the build of the environment and {sent} starts of rsync"
        yield Line(what, statistics.median(seconds), None, "", "s", at_most(1, "s"), note)
        yield Line(count, float(_starts(log) - sent), None, "", "transfers", _NOTHING, "")


def _requirements(bench: Bench, megabytes: int) -> Path:
    """An environment of one package whose files are noise: as many megabytes as a framework has."""
    wheel = bench.folder("wheels") / _WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        for number in range(megabytes):
            archive.writestr(f"ballast/{number}.bin", os.urandom(1_000_000))
        archive.writestr("ballast/__init__.py", "")
        for name, text in _ABOUT.items():
            archive.writestr(f"ballast-1.0.dist-info/{name}", text)
        names = [*archive.namelist(), "ballast-1.0.dist-info/RECORD"]
        archive.writestr(names[-1], "".join(f"{name},,\n" for name in names))
    file = bench.scratch / "requirements.txt"
    file.write_text(f"{wheel}\n")
    return file


def _counting_rsync(bench: Bench) -> tuple[Path, Path]:
    """A folder for the PATH whose rsync notes each start, and the file with the notes."""
    programs, log = bench.folder("programs"), bench.scratch / "rsync.log"
    (programs / "rsync").write_text(f'#!/bin/sh\necho start >>{log}\nexec {shutil.which("rsync")} "$@"\n')
    (programs / "rsync").chmod(0o755)
    return programs, log


def _starts(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0
