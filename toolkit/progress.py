"""Progress for people: a bar for what takes more than a second, nothing where the output is not a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE_SECONDS = 1.0  # what is quicker shows nothing


class Bar:
    """A progress bar on standard error that appears once its work has taken a while. Call it as `bar(done, total)`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._began = time.monotonic()
        self._shown: Any = None
        self._task: Any = None
        self._on_terminal = sys.stderr.isatty()

    def __call__(self, done: float, total: float) -> None:
        if not self._on_terminal:
            return
        if self._shown is None:
            if time.monotonic() - self._began < PATIENCE_SECONDS:
                return
            self._show()
        self._shown.update(self._task, completed=done, total=total)

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._shown = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._shown.add_task(self._text, total=None)
        self._shown.start()

    def close(self) -> None:
        if self._shown is not None:
            self._shown.stop()


@contextmanager
def bar(text: str) -> Iterator[Bar]:
    """A `Bar` that leaves the terminal when its work is done."""
    shown = Bar(text)
    try:
        yield shown
    finally:
        shown.close()


@contextmanager
def spinner(text: str) -> Iterator[None]:
    """A spinner for work of unknown length."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield
