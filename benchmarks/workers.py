"""Workers: child processes that hold one system, imported and warm, and measure it each time they are asked.

That lets ours and the peers take turns within one run, each in an environment of its own. A worker's script lies in a
folder `workers/` beside the figure, and speaks JSON lines through `serve.py`.
"""

from __future__ import annotations

import json
import select
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.surroundings import variables


class WorkerError(Exception):
    """The worker did not start or did not answer; the message has its last words."""


class Worker:
    """One running worker; a context manager.

    Args:
        python: the interpreter of the system that is measured.
        script: the worker's script.
        folder: its working directory, which is made; its standard error goes to `log.txt` there.
        settings: given to the script before it says that it is ready.
        environment: variables on top of the common ones.
    """

    def __init__(
        self,
        python: str | Path,
        script: Path,
        folder: Path,
        settings: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._name = script.stem
        self._command = [str(python), str(script), json.dumps(settings or {})]
        self._folder = folder
        self._log = folder / "log.txt"
        self._environment = variables(python, **(environment or {}))
        self._answers = b""

    def __enter__(self) -> Worker:
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._folder,
                env=self._environment,
            )
        try:
            self.next(120.0)  # that it is ready
        except WorkerError:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, seconds: float = 300.0, **request: Any) -> Any:
        """Have the worker measure once; its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise WorkerError(self._last_words()) from error
        return self.next(seconds)

    def next(self, seconds: float = 300.0) -> Any:
        """The next thing that the worker says.

        Raises:
            WorkerError: it says that something failed, ends, or says nothing for `seconds`.
        """
        assert self._process.stdout is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._answers:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise WorkerError(f"{self._name} did not answer within {seconds:.0f} s: {self._last_words()}")
            part = self._process.stdout.read1(65536)  # type: ignore[attr-defined]
            if not part:
                raise WorkerError(f"{self._name} ended: {self._last_words()}")
            self._answers += part
        line, _, self._answers = self._answers.partition(b"\n")
        answer = json.loads(line)
        if isinstance(answer, dict) and "error" in answer:
            raise WorkerError(f"{self._name}: {answer['error']}")
        return answer

    def kill(self) -> None:
        """SIGKILL, as the kernel does it when memory runs out."""
        self._process.kill()
        self._process.wait()

    def close(self, seconds: float = 60.0) -> None:
        """Let it end by the end of its input; kill it where it does not."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()
        except OSError:
            pass
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process.stdout.close()

    def _last_words(self) -> str:
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it said nothing"


def start_all(stack: ExitStack, workers: dict[str, Worker], missing: dict[str, str]) -> dict[str, Worker]:
    """Start workers; one that does not start is noted in `missing` by its name, with the reason."""
    running: dict[str, Worker] = {}
    for name, worker in workers.items():
        try:
            running[name] = stack.enter_context(worker)
        except WorkerError as error:
            missing[name] = str(error)
    return running
