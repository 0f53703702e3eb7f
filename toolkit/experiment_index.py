"""The runs of an experiment in one append-only file: a line a run, whose number is its line."""

from __future__ import annotations

import fcntl
import threading
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.errors import storage_errors
from toolkit.inscript.files import append_line
from toolkit.paths import WorkspacePaths


@dataclass
class _Read:
    """What this process has read of an index: numbers by run id, and the byte behind the last of them."""

    offset: int = 0
    numbers: dict[str, int] = field(default_factory=dict)


_reading = threading.Lock()
_indices: dict[Path, _Read] = {}  # so that many runs are added, or asked for, without reading it all each time


def numbers(paths: WorkspacePaths, experiment: str) -> dict[str, int]:
    """The numbers of an experiment's runs by id, the oldest first."""
    with _reading:
        return dict(_read_on(paths.experiment_runs(experiment)))


def _read_on(index: Path) -> dict[str, int]:
    read = _indices.setdefault(index, _Read())
    try:
        with open(index, "rb") as file:
            last = f"{next(reversed(read.numbers))}\n".encode() if read.numbers else b""
            file.seek(max(0, read.offset - len(last)))
            if file.read(len(last)) != last:  # a workspace that was deleted, and made anew
                read.offset, read.numbers = 0, {}
                file.seek(0)
            content = file.read()
    except FileNotFoundError:
        read.offset, read.numbers, content = 0, {}, b""
    whole = content[: content.rfind(b"\n") + 1]  # a writer may be in the middle of the last line
    for run_id in whole.decode("utf-8", "replace").splitlines():
        read.numbers.setdefault(run_id, len(read.numbers) + 1)
    read.offset += len(whole)
    return read.numbers


def add(paths: WorkspacePaths, experiment: str, run_id: str) -> int:
    """Give a run its place in an experiment, unless it has one: its number, from 1.

    Raises:
        StorageError: the disk is full or read-only.
    """
    index = paths.experiment_runs(experiment)
    with storage_errors("cannot add the run", index):
        index.parent.mkdir(parents=True, exist_ok=True)
        with (index.parent / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with _reading:
                if run_id not in _read_on(index):
                    append_line(str(index), run_id)
                return _read_on(index)[run_id]
