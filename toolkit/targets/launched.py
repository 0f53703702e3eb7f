"""What a run directory on this machine's disks tells of its launcher, wherever that runs: alive, beating, ended."""

from __future__ import annotations

import os
import time

from toolkit.inscript.files import is_locked
from toolkit.inscript.rundir import RunDirectory
from toolkit.targets.base import Phase

SILENT_SECONDS = 60.0  # without a heartbeat for so long, a run does not respond


def phase(run: RunDirectory) -> Phase:
    """The phase of a run by its lock, its heartbeat and its exit record."""
    if os.path.exists(run.exit):
        return Phase.ENDED
    if not lives(run):
        return Phase.ENDED if os.path.exists(run.exit) else Phase.LOST
    try:
        beat = os.stat(run.heartbeat).st_mtime
    except FileNotFoundError:
        return Phase.RUNNING if os.path.exists(run.script) else Phase.WAITING
    return Phase.SILENT if time.time() - beat > SILENT_SECONDS else Phase.RUNNING


def lives(run: RunDirectory) -> bool:
    """Whether the run's launcher holds its lock: true however its pid is reused, false however it was ended."""
    return is_locked(run.launcher_lock)


def read_log(run: RunDirectory, offset: int) -> bytes:
    """The driver log from byte `offset` on."""
    try:
        with open(run.driver_log, "rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return b""
