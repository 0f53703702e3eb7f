"""Waiting until the disk has done what was asked of it: what was removed before costs whoever writes next."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STATISTICS = Path("/proc/diskstats")
_SECTORS = (5, 9, 16)  # read, written, discarded
_QUIET = 2048  # sectors in one look: a mebibyte
_LOOK_SECONDS = 0.25
_MOST_SECONDS = 20.0


def settle() -> None:
    """Write back what is to be written, and wait until the disk is quiet; where others use it, not for ever."""
    os.sync()
    deadline = time.monotonic() + _MOST_SECONDS
    before = _moved()
    while time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        now = _moved()
        if now - before < _QUIET:
            return
        before = now


def _moved() -> int:
    """Sectors that all disks have moved or discarded so far; 0 where the system does not say."""
    if not _STATISTICS.exists():
        return 0
    rows = [line.split() for line in _STATISTICS.read_text().splitlines()]
    return sum(int(row[column]) for row in rows for column in _SECTORS if len(row) > column)
