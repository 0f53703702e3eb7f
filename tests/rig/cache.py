"""Where the rig keeps what takes long to make: a folder of the user's cache, used by one process at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs


def folder() -> Path:
    """The cache folder of the rig; what is in it can be removed at any time."""
    made = Path(platformdirs.user_cache_dir("toolkit-rig"))
    made.mkdir(parents=True, exist_ok=True)
    return made


@contextmanager
def locked(name: str) -> Iterator[Path]:
    """The folder `name` of the cache while no other process is in here with it."""
    held = folder() / name
    held.mkdir(exist_ok=True)
    with open(folder() / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield held
