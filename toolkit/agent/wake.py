"""Waking the agent of a workspace from any process, and starting it where there is none."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import time
from pathlib import Path

from toolkit.background import goes_on, start_background
from toolkit.errors import storage_errors
from toolkit.paths import WorkspacePaths
from toolkit.version import __version__

START_SECONDS = 2.0  # by then an agent reads its pipe, however busy the machine
_started: dict[Path, tuple[float, int]] = {}  # when this process started an agent, and which


def wake(paths: WorkspacePaths) -> None:
    """Have the agent look at its runs now. Where no agent reads the pipe, start one; it looks at everything first.

    An agent of another version of the toolkit, from before an upgrade, is replaced; its runs go on.
    """
    if version_of_agent(paths) not in ("", __version__):
        stop(paths)
    nudge(paths)


def keep_running(paths: WorkspacePaths) -> None:
    """For those who look at a run again and again: bring its agent back where it was ended, and do not hurry it."""
    if not is_running(paths) and not _comes_up(paths):
        start(paths)


def nudge(paths: WorkspacePaths) -> None:
    """As `wake`, for news that comes often: which version the agent is of is not looked at."""
    if not signal_agent(paths, b"\n") and not _comes_up(paths):
        start(paths)


def _comes_up(paths: WorkspacePaths) -> bool:
    """Whether an agent that this process started has still to read its pipe: it looks at everything when it does."""
    since, pid = _started.get(paths.root, (0.0, 0))
    return time.monotonic() - since < START_SECONDS and goes_on(pid)


def version_of_agent(paths: WorkspacePaths) -> str:
    """The version of the toolkit that the workspace's last agent was of, or "" where it never had one."""
    try:
        return paths.agent_version.read_text()
    except FileNotFoundError:
        return ""


def signal_agent(paths: WorkspacePaths, message: bytes) -> bool:
    """Write one line into the agent's pipe. False where no agent reads it."""
    try:
        descriptor = os.open(paths.wake, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):
            return False
        raise
    try:
        os.write(descriptor, message)
    except BlockingIOError:
        pass  # the pipe is full of wake-ups: it will wake
    except BrokenPipeError:
        return False
    finally:
        os.close(descriptor)
    return True


def start(paths: WorkspacePaths) -> None:
    """Start the workspace's agent in the background. Where two are started at once, one of them leaves."""
    with storage_errors("cannot write the agent's log", paths.agent_log):
        paths.agent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "toolkit.agent", str(paths.root)]
        _started[paths.root] = time.monotonic(), start_background(command, paths.agent_log, paths.root)


def is_running(paths: WorkspacePaths) -> bool:
    """Whether an agent reads the workspace's pipe."""
    try:
        os.close(os.open(paths.wake, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def stop(paths: WorkspacePaths, seconds: float = 10.0) -> bool:
    """Ask the agent to leave and wait for it. Runs go on without it. False where none was there."""
    deadline = time.monotonic() + seconds
    while not signal_agent(paths, b"stop\n"):
        if not (_comes_up(paths) or _is_starting(paths)) or time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    while is_running(paths) and time.monotonic() < deadline:
        time.sleep(0.01)
    return True


def _is_starting(paths: WorkspacePaths) -> bool:
    """Whether an agent lives that does not read its pipe yet: it holds its lock."""
    try:
        with paths.agent_lock.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
