"""Being told to end: SIGTERM from whoever started this process, or Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def told_to_end(then: Callable[[], None] | None = None) -> Iterator[list[int]]:
    """A list that gets the number of the signal that asks this process to end, for the block to look at.

    A second signal ends the block at once, by KeyboardInterrupt.

    Args:
        then: is called as well when the first one comes.
    """
    told: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield told  # only the main thread is told
        return

    def note(number: int, frame: FrameType | None) -> None:
        if told:
            raise KeyboardInterrupt
        told.append(number)
        if then is not None:
            then()

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
