"""Launchers of this machine: started detached from whoever starts them, and ended with all that they have started."""

import os
import signal
import subprocess
import time
from typing import List

from toolkit.inscript import processes
from toolkit.inscript.files import is_locked, read_json
from toolkit.inscript.rundir import RunDirectory

LAUNCH_SECONDS = 30.0  # a launcher that has not said it lives by then never will
_TAIL_CHARACTERS = 500


class NotLaunched(ValueError):
    """The launcher did not come up; the message says why."""


def launch(run: RunDirectory, command: List[str]) -> "subprocess.Popen[bytes]":
    """Start a launcher in a session of its own and wait until it says that it lives (about 20 ms).

    Returns:
        Its process. Where another launcher has the run already that is another one than `started.json` names.

    Raises:
        NotLaunched: it ended, or said nothing.
    """
    with open(run.control_log, "ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=run.root
        )
    deadline = time.monotonic() + LAUNCH_SECONDS
    while not os.path.exists(run.started):
        code = process.poll()
        if code and not os.path.exists(run.started):  # with code 0 another launcher has the run and will say so
            raise NotLaunched("the launcher ended with code %d: %s" % (code, last_words(run.control_log)))
        if time.monotonic() > deadline:
            process.kill()
            raise NotLaunched("the launcher did not start within %.0f s" % LAUNCH_SECONDS)
        time.sleep(0.001)
    return process


def end(run: RunDirectory, grace: float) -> bool:
    """End a run: TERM to its launcher, which ends the tree and records it; with a grace of 0 seconds kill all at once.

    Returns:
        Whether all has ended; else the launcher is at it.
    """
    lives = is_locked(run.launcher_lock)
    if grace > 0 and lives:
        _signal(run, signal.SIGCONT, signal.SIGTERM)
        return False
    if lives:
        _signal(run, signal.SIGKILL)
    script = read_json(run.script, {})
    processes.end_tree(run.root, int(script.get("pid", -1)), grace)
    return True


def _signal(run: RunDirectory, *numbers: int) -> None:
    pid = read_json(run.started, {}).get("pid")
    for number in numbers:
        try:
            os.kill(int(pid), number)
        except (OSError, TypeError):
            return


def last_words(path: str) -> str:
    """The end of a log as one line, for a message."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return " ".join(file.read()[-_TAIL_CHARACTERS:].split()) or "it wrote nothing"
    except OSError:
        return "it wrote nothing"
