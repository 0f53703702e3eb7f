"""Runs that a process logs without a submit: `start_logging`, and the children that a script makes of its own run.

Such a run is what a launcher makes of a submitted one, with this process in the launcher's place: it holds the lock
that says the run goes on, and it writes the exit record. So the agent takes it to its end as it takes all others: also
where this process is killed.
"""

import atexit
import fcntl
import os
import sys
import time
from typing import Any, Collection, Dict, List, Optional

from toolkit.inscript.files import append_line, claim_json, read_json, read_lines, write_json
from toolkit.inscript.rundir import RunDirectory

_held: Dict[str, int] = {}  # the locks that this process holds, by run directory
_owner = os.getpid()


def create(directory: RunDirectory, definition: Dict[str, Any]) -> None:
    """Make the run directory of a run that this process logs from now on: whole, or not at all."""
    now = time.time()
    parent, name = os.path.split(directory.root)
    staging = RunDirectory(os.path.join(parent, "." + name))
    os.makedirs(staging.logs, 0o700)
    write_json(staging.definition, dict(definition, id=directory.id, submitted=now, logged=True))
    for status in ("NotStarted", "Running"):
        append_line(staging.events, '{"status": "%s", "time": %r}' % (status, now))
    write_json(staging.started, {"pid": os.getpid(), "host": os.uname().nodename, "time": now})
    write_json(staging.script, {"pid": os.getpid(), "time": now})
    lock = os.open(staging.launcher_lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(staging.root, directory.root)
    _hold(directory.root, lock)


def end(directory: RunDirectory, record: Dict[str, Any]) -> bool:
    """Write the exit record of a logged run and let go of it. False where it had ended already."""
    first = claim_json(directory.exit, dict(record, time=time.time()))
    release(directory.root)
    return first


def completed() -> Dict[str, Any]:
    return {"reason": "exited", "code": 0}


def failed(details: object, code: object = None) -> Dict[str, Any]:
    message = "None" if details is None else str(details)
    return {"reason": "failed", "code": None, "error_code": str(code or "UserError"), "message": message}


def release(root: str) -> None:
    lock = _held.pop(root, None)
    if lock is not None:
        os.close(lock)


def _hold(root: str, lock: int) -> None:
    global _owner
    if not _held or _owner != os.getpid():
        _owner = os.getpid()
        atexit.register(_end_all)
    _held[root] = lock


def _end_all() -> None:
    """The process ends: so do the runs that it logs. Not in a fork, which logs what its parent owns."""
    if _owner != os.getpid():
        return
    error = getattr(sys, "last_value", None)
    for root in list(_held):
        record = completed() if error is None else failed("%s: %s" % (type(error).__name__, error))
        end(RunDirectory(root), record)


def children(directory: RunDirectory) -> List[str]:
    """The ids of a run's children: submitted ones, then logged ones, each the oldest first."""
    return read_lines(directory.submitted_children) + logged_children(directory)


def logged_children(directory: RunDirectory, but: Collection[str] = ()) -> List[str]:
    """The ids of a run's logged children, the oldest first; `but` are left out, and nothing is asked of them."""
    try:
        found = [name for name in os.listdir(directory.children) if name[0] != "." and name not in but]
    except OSError:
        return []
    return sorted(found, key=lambda name: _born(os.path.join(directory.children, name)))


def _born(root: str) -> float:
    try:
        return os.stat(RunDirectory(root).definition).st_mtime
    except OSError:
        return 0.0


def path_of(runs: str, run_id: str) -> str:
    """The run directory of a run id, below the folder of all runs: a logged child's is inside its parent's.

    >>> path_of("runs", "fit_1_ab.c2.d3")
    'runs/fit_1_ab/children/fit_1_ab.c2/children/fit_1_ab.c2.d3'
    """
    parts = run_id.split(".")
    ids = [".".join(parts[: length + 1]) for length in range(len(parts))]
    return os.path.join(runs, *(os.path.join(*pair) for pair in zip([""] + ["children"] * len(parts), ids)))


def ancestors(directory: RunDirectory) -> Dict[str, RunDirectory]:
    """The parent of a run, and the parent's, by their ids."""
    found: Dict[str, RunDirectory] = {}
    runs = os.path.dirname(directory.outermost.root)
    parent = read_json(directory.definition, {}).get("parent")
    while parent and parent not in found:
        found[parent] = RunDirectory(path_of(runs, parent))
        parent = read_json(found[parent].definition, {}).get("parent")
    return found


def child_directory(parent: RunDirectory, suffix: Optional[str] = None) -> RunDirectory:
    """Where a new logged child of a run goes. Its id is the parent's, a dot, and the suffix: random by default."""
    if suffix is None:
        suffix = os.urandom(4).hex()
    clean = "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in suffix)
    return RunDirectory(os.path.join(parent.children, "%s.%s" % (parent.id, clean)))
