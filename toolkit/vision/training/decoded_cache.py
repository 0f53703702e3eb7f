"""Folders of decoded images: where they are, who uses one, and which are removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import TextIO

_ABANDONED_SECONDS = 3600  # after which what a killed process left is removed


def default_cache() -> Path:
    """Where decoded sets are kept: in TOOLKIT_DATA, which all runs of a machine share, else in the user's cache."""
    shared = os.environ.get("TOOLKIT_DATA")
    if shared:
        return Path(shared) / "decoded"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "toolkit" / "decoded"


def locked(path: Path, how: int) -> TextIO:
    """An open file with this lock, which ends with it or with the process."""
    file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - it stays open for as long as the lock is held
    try:
        fcntl.flock(file, how)
    except OSError:
        file.close()
        raise
    return file


def existing(path: Path) -> Path:
    return path if path.exists() else existing(path.parent)


def remove_unused(folder: Path) -> None:
    """Remove a folder of decoded images, unless a process uses it."""
    with contextlib.suppress(OSError):
        lock = locked(folder / "used", fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def remove_abandoned(folder: Path, whole: Path) -> None:
    """Remove `whole`, which a process left that was killed a while ago."""
    with contextlib.suppress(OSError):
        if time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS:
            lock = locked(folder / "used", fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(whole, ignore_errors=True)
            lock.close()


def make_room(cache: Path, allowed: float, keep: Path) -> None:
    """Remove the sets that were not used for the longest time until the rest is within `allowed` bytes."""
    if not cache.is_dir():
        return
    for staging in cache.glob(".*.*"):
        remove_abandoned(staging, staging)
    kept = [folder for folder in cache.iterdir() if (folder / "made").is_file() and folder != keep]
    sizes = {folder: (folder / "pixels").stat().st_size for folder in kept}
    for folder in sorted(kept, key=lambda one: (one / "used").stat().st_mtime):
        if sum(sizes.values()) <= allowed:
            return
        remove_unused(folder)
        if not folder.exists():
            del sizes[folder]
