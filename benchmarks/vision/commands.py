"""Modules of the toolkit as commands, whose lines are read while they run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.surroundings import variables
from benchmarks.workers import WorkerError


@contextmanager
def module(name: str, log: Path, **parameters: object) -> Iterator[subprocess.Popen[str]]:
    """A module that runs, its lines on `stdout`; it is killed at the end of the block if it has not ended by then.

    Args:
        log: gets its standard error.
    """
    command = [sys.executable, "-m", "toolkit.vision", name]
    for parameter, value in parameters.items():
        command += [f"--{parameter.replace('_', '-')}", str(value)]
    with log.open("w") as errors:
        environment = variables(sys.executable, PYTHONUNBUFFERED="1")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
    with process:  # its pipe is closed, and it is waited for
        try:
            yield process
        finally:
            process.kill()


def output(name: str, log: Path, **parameters: object) -> str:
    """What a module prints. WorkerError with its last words where it fails."""
    with module(name, log, **parameters) as process:
        assert process.stdout is not None
        text = process.stdout.read()
        process.wait()
    if process.returncode != 0:
        raise failure(name, log)
    return text


def failure(name: str, log: Path) -> WorkerError:
    """That a module failed, with its last words."""
    return WorkerError(f"{name}: {' '.join(log.read_text(errors='replace').split())[-300:] or 'it said nothing'}")
