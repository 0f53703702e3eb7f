"""Attempts of one run: what a launcher wrote in an earlier one is set aside, and the script starts again.

The working copy, the outputs, the logs, the metrics and `checkpoints/` stay where they are, so a script that finds its
checkpoint there goes on from it.
"""

import os
from typing import List

from toolkit.inscript.rundir import RunDirectory

CHECKPOINTS = "TOOLKIT_CHECKPOINTS"  # a script's variable: the folder that is kept from one attempt to the next
ATTEMPT = "TOOLKIT_ATTEMPT"  # a script's variable: 1 for the first
_HALFWAY = ".tmp"


def count(run: RunDirectory) -> int:
    """How many attempts have ended and were followed by another."""
    return len([name for name in _names(run) if name.isdigit()])


def is_halfway(run: RunDirectory) -> bool:
    """Whether somebody was ended in the middle of `set_aside`: calling it again does the rest."""
    return any(name.endswith(_HALFWAY) for name in _names(run))


def _names(run: RunDirectory) -> List[str]:
    try:
        return os.listdir(run.attempts)
    except OSError:
        return []


def set_aside(run: RunDirectory, with_plan: bool = False) -> int:
    """Make room for another attempt; gives its number, 2 for the second. The launcher of the last one has ended.

    Args:
        with_plan: whether another is made for it, as the agent does; an engine that starts a run again keeps to its.
    """
    number = count(run) + 1
    folder = os.path.join(run.attempts, str(number))
    staging = folder + _HALFWAY
    os.makedirs(staging, exist_ok=True)
    # `started` last but one: as long as it is there no launcher starts; `exit` before it, or the run would look ended.
    left = (run.exit, run.script, run.heartbeat, run.engine, run.launcher_lock, run.handle)
    for path in (*left, *((run.plan,) if with_plan else ()), run.started):
        try:
            os.replace(path, os.path.join(staging, os.path.basename(path)))
        except FileNotFoundError:
            pass
    os.replace(staging, folder)
    return number + 1
