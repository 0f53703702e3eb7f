"""How the benchmarks go, on standard error: a moving line where that is a terminal, plain lines where it is not."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.status import Status


class Progress:
    """Says which figure is measured and what it is at; a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._status: Status | None = self._console.status("starting") if self._console.is_terminal else None
        self._title = ""
        self._began = time.monotonic()

    def __enter__(self) -> Progress:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def title(self, text: str) -> None:
        """Another figure begins."""
        self._title = text
        self._console.print(f"[{time.monotonic() - self._began:5.0f} s] {text}", markup=False, soft_wrap=True)
        self.say("")

    def say(self, text: str) -> None:
        """What goes on within the figure."""
        if self._status is not None:
            self._status.update(f"{self._title}  {text}")
        elif text:
            self._console.print(f"          {text}", markup=False, soft_wrap=True)
