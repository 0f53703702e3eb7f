"""The processes of a run: found by group, and by the run directory in their environment, and ended as one."""

import errno
import os
import signal
import time
from typing import Callable, List, Optional

from toolkit.inscript.rundir import RUN_DIRECTORY


def of_run(run_root: str, group: int) -> List[int]:
    """The living processes that belong to the run, zombies left out.

    On Linux a process is the run's when it is in the script's process group or carries the run directory in its
    environment: so a daemon that left the group is found as well. Elsewhere the group is what there is.
    """
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return [group] if _group_lives(group) else []
    marker = ("%s=%s" % (RUN_DIRECTORY, run_root)).encode("utf-8", "surrogateescape")
    return [pid for pid in pids if pid != os.getpid() and _belongs(pid, group, marker)]


def _belongs(pid: int, group: int, marker: bytes) -> bool:
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        if fields[0] in (b"Z", b"X"):
            return False
        if int(fields[2]) == group:
            return True
        with open("/proc/%d/environ" % pid, "rb") as file:
            return marker in file.read().split(b"\0")
    except (OSError, IndexError, ValueError):
        return False  # it ended meanwhile, or is another user's


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True


def send(run_root: str, group: int, number: int) -> bool:
    """Send a signal to every process of the run. Whether there was any."""
    found = of_run(run_root, group)
    for pid in found:
        try:
            if pid == group:
                os.killpg(group, number)
            else:
                os.kill(pid, number)
        except OSError:
            pass
    return bool(found)


def end_tree(run_root: str, group: int, grace: float, reap: Optional[Callable[[], object]] = None) -> None:
    """TERM to every process of the run, KILL to what is left after `grace` seconds, until none lives.

    `reap` is called in between, so that a caller's own ended child does not stay a zombie.
    """
    deadline = time.time() + grace
    send(run_root, group, signal.SIGCONT)  # a stopped process would not see the TERM
    alive = send(run_root, group, signal.SIGTERM)
    pause = 0.005
    while alive and time.time() < deadline:
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
        if reap is not None:
            reap()
        alive = bool(of_run(run_root, group))
    for _ in range(100):  # a process that forks while it is killed needs another round
        if reap is not None:
            reap()
        if not send(run_root, group, signal.SIGKILL):
            return
        time.sleep(0.02)
