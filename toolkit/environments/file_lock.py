"""Locks on files, which the kernel takes back when their holders die, however they die.

Processes that are started with `held()` hold the locks as well: where a build is killed, what it has started may go on
writing for a moment, and the next build waits until that has ended too.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_held: list[int] = []


def held() -> tuple[int, ...]:
    """The descriptors of the locks that this process holds, to be passed on to what it starts."""
    return tuple(_held)


@contextmanager
def exclusive(path: Path, waiting: str, log: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock on `path`. Where somebody else holds it, say `waiting` to the log and wait."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _try(descriptor):
            log(waiting)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        _held.append(descriptor)
        try:
            yield
        finally:
            _held.remove(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Hold the lock on `path` if nobody else does: yields whether it is held."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _try(descriptor)
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
