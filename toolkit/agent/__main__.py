"""The agent: one background process a workspace, started when there is something to do, gone when there is not.

`python -m toolkit.agent WORKSPACE_FOLDER`. It may be ended at any moment, kill -9 included: whoever submits or looks
next starts another one, which goes on.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time
import traceback
from pathlib import Path

from toolkit import configuration
from toolkit.agent.reconcile import Reconciler
from toolkit.agent.tracker_process import TrackerProcess
from toolkit.errors import UserErrorException
from toolkit.inscript.files import write_text
from toolkit.paths import WorkspacePaths
from toolkit.version import __version__

TICK_SECONDS = 1.0  # while runs are active; news wakes it at once
LONG_STEP_SECONDS = 0.02  # after a step that took longer, with thousands of runs, news waits as long as it took


def main(arguments: list[str]) -> int:
    paths = WorkspacePaths(Path(arguments[1]))
    for folder in (paths.agent, paths.active, paths.untracked):
        folder.mkdir(parents=True, exist_ok=True)
    if not _hold(paths):
        return 0  # the workspace has its agent
    write_text(str(paths.agent_version), __version__)
    Agent(paths).run()
    return 0


def _hold(paths: WorkspacePaths) -> bool:
    """Take the lock that says this agent lives; tried for a moment, since somebody may look whether it is held."""
    lock = os.open(paths.agent_lock, os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(10):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            time.sleep(0.01)
    os.close(lock)
    return False


class Agent:
    """The loop around the reconciler: sleeps on a named pipe, leaves when nothing was to do for long."""

    def __init__(self, paths: WorkspacePaths) -> None:
        self._paths = paths
        self._tracker = TrackerProcess(paths)
        self._reconciler = Reconciler(paths, self._tracker)
        self._idle_seconds = _idle_seconds(paths)
        self._stop = False
        signal.signal(signal.SIGTERM, self._on_term)

    def _on_term(self, number: int, frame: object) -> None:
        self._stop = True

    def run(self) -> None:
        pipe = self._open_pipe()
        busy_at = time.monotonic()
        while not self._stop:
            began = time.monotonic()
            self._step()
            took = time.monotonic() - began
            if self._reconciler.busy() or self._tracker.has_work():
                busy_at = time.monotonic()
            elif time.monotonic() - busy_at > self._idle_seconds:
                # Whoever finds no reader starts an agent; whoever wrote before is in the folder that is looked at now.
                signal.set_wakeup_fd(-1)
                os.close(pipe)
                if not any(self._paths.active.iterdir()):
                    break
                pipe = self._open_pipe()
                busy_at = time.monotonic()
            if took > LONG_STEP_SECONDS:
                time.sleep(took)
            self._sleep(pipe)
        self._tracker.close()

    def _step(self) -> None:
        try:
            self._reconciler.step()
            self._tracker.keep_alive()
        except Exception:  # a full disk, a broken configuration: it is tried again, and the runs go on
            print(time.strftime("%Y-%m-%d %H:%M:%S"), traceback.format_exc(), file=sys.stderr, flush=True)

    def _open_pipe(self) -> int:
        if not self._paths.wake.exists():
            os.mkfifo(self._paths.wake, 0o600)
        pipe = os.open(self._paths.wake, os.O_RDWR | os.O_NONBLOCK)  # a writer of its own: it never reads an end
        signal.set_wakeup_fd(pipe, warn_on_full_buffer=False)  # so that SIGTERM ends the sleep as well
        return pipe

    def _sleep(self, pipe: int) -> None:
        seconds = TICK_SECONDS if self._reconciler.busy() or self._tracker.has_work() else self._idle_seconds + 1
        try:
            readable, _, _ = select.select([pipe], [], [], seconds)
        except InterruptedError:
            return
        news = os.read(pipe, 65536) if readable else b""
        if b"request" in news:  # a script waits for an answer
            self._tracker.poke()
        self._stop = self._stop or b"stop" in news


def _idle_seconds(paths: WorkspacePaths) -> float:
    try:
        return configuration.load(paths.configuration).agent_idle_seconds
    except UserErrorException:  # whoever submits is told; the runs that there are go on
        return configuration.WorkspaceConfiguration().agent_idle_seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv))
