"""Waking the agent from inside a run: by the named pipe that the run's plan names."""

import os

from toolkit.inscript.files import read_json
from toolkit.inscript.rundir import RunDirectory


def wake(pipe: str, message: bytes = b"\n") -> None:
    """Tell the agent that there is news; without an agent nobody reads, and that is fine."""
    if not pipe:
        return
    try:
        descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        os.write(descriptor, message)
        os.close(descriptor)
    except OSError:
        pass


def wake_agent_of(run: RunDirectory, message: bytes = b"\n") -> None:
    """Wake the agent of a submitted run."""
    plan = read_json(run.plan, {})
    wake(str(plan.get("wake") or ""), message)
