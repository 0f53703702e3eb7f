"""Processes that outlive whoever starts them: the agent, the MLflow server, the writing of bytecode."""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
from pathlib import Path

# What must not reach such a process: it would tie it to the run that it happens to be started from.
_OF_A_RUN = ("TOOLKIT_RUN_DIR", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI", "AZUREML_")
_started: list[subprocess.Popen[bytes]] = []  # held, so that those that end while we live are reaped


def start_background(
    command: list[str], log: Path, folder: Path, extra: dict[str, str] | None = None, nice: int = 0
) -> int:
    """Start `command` in a session of its own, its output appended to `log`. Returns its pid.

    Args:
        folder: where it runs.
        extra: variables that are set for it.
        nice: how much it stands back behind others, 0 to 19.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=folder,
            env={**background_environment(), **(extra or {})},
            preexec_fn=functools.partial(os.nice, nice) if nice else None,
        )
    outlives(process)
    return process.pid


def outlives(process: subprocess.Popen[bytes]) -> None:
    """Say that a process which was started may go on when this one ends."""
    _started[:] = [one for one in _started if one.poll() is None]
    _started.append(process)


def goes_on(pid: int) -> bool:
    """Whether a process that this one started still goes on."""
    return any(one.pid == pid and one.poll() is None for one in _started)


@atexit.register
def _let_go() -> None:
    """They outlive this process on purpose: no warning about that."""
    for process in _started:
        process.poll()
        process.returncode = process.returncode or 0


def background_environment() -> dict[str, str]:
    """The environment for processes that outlive this one, in which this very toolkit is found."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_OF_A_RUN)}
    package_parent = str(Path(__file__).resolve().parent.parent)
    path = [package_parent, *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(path)
    return environment
