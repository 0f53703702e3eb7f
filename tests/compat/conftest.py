"""Python in a process of its own, with the `azureml` names, as a control script or as a script in a run sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit import compat
from toolkit.targets.mount import python_path

Python = Callable[..., str]


def _run(code: str, path: list[str], folder: Path, options: tuple[str, ...], **variables: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), **variables}
    command = [sys.executable, "-W", "error", *options, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def control(tmp_path: Path) -> Python:
    """`control(code)`: run it as a control script that was written for Azure ML SDK v1. Returns what it printed."""
    return lambda code, *path, **variables: _run(code, [compat.FOLDER, *path], tmp_path, (), **variables)


@pytest.fixture
def script(tmp_path: Path) -> Python:
    """`script(code)`: run it with what is mounted into runs, and nothing installed. Returns what it printed."""
    return lambda code, *path, **variables: _run(code, [*python_path(), *path], tmp_path, ("-S",), **variables)
