"""Everybody who logs numbers, as the figures about logging start them: their environments, folders and settings."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.peers import PeerUnavailable
from benchmarks.surroundings import variables
from benchmarks.workers import Worker

WORKERS = Path(__file__).parent / "workers"


@dataclass(frozen=True)
class System:
    """One way to log numbers.

    Attributes:
        label: its name in the results.
        function: of `workers/log_systems.py`.
        requirements: of its environment; none for the toolkit's own interpreter.
        calls: how many calls a round has: fewer where they are slow.
    """

    label: str
    function: str
    requirements: tuple[str, ...] = ()
    calls: int = 20_000
    settings: dict[str, Any] = field(default_factory=dict)


def _mlflow() -> str:
    return f"mlflow=={importlib.metadata.version('mlflow')}"


def ours() -> System:
    return System("toolkit run.log", "toolkit")


def peers() -> tuple[System, ...]:
    """The peers of `run.log`; those of MLflow get their store's URI from the figure."""
    mlflow = (_mlflow(), "virtualenv")
    return (
        System("line-buffered file, a line of the same fields", "file_line"),
        System("line-buffered file, a ready line", "file_constant"),
        System("mlflow.log_metric, sqlite", "mlflow", mlflow, calls=500),
        System("mlflow.log_metric, REST", "mlflow", mlflow, calls=200),
        System("wandb offline", "wandb", ("wandb",)),
        System("trackio", "trackio", ("trackio",)),
        System("tensorboardX", "tensorboardx", ("tensorboardX",)),
        System("TensorBoard's own writer", "tensorboard", ("tensorboard",)),
    )


def python_of(bench: Bench, system: System) -> str:
    """The interpreter of a system, its environment made where it is not there.

    Raises:
        PeerUnavailable: it cannot be installed.
    """
    if not system.requirements:
        return sys.executable
    return bench.peers.python(system.function, *system.requirements)


def worker(bench: Bench, system: System, script: str, folder: Path, **settings: Any) -> Worker:
    """A worker that logs with `system` in `folder`."""
    environment = {"TRACKIO_DIR": str(folder / "trackio"), "HF_HOME": str(folder / "huggingface")}
    if system.function == "toolkit":
        (folder / "run").mkdir(parents=True)
        environment = {"TOOLKIT_RUN_DIR": str(folder / "run"), "PYTHONPATH": mounted(bench)}
    given = {"system": system.function, "uri": f"sqlite:///{folder}/mlflow.db", **system.settings, **settings}
    return Worker(python_of(bench, system), WORKERS / f"{script}.py", folder, given, environment)


def mounted(bench: Bench) -> str:
    """The folder with the in-script side that is put on the path of every run."""
    program = "from toolkit.targets.mount import inscript_folder as f; print(f())"
    environment = variables(sys.executable, TOOLKIT_HOME=str(bench.scratch / "home"))
    answer = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return answer.stdout.strip()


@contextmanager
def mlflow_server(bench: Bench) -> Iterator[str]:
    """The URL of an MLflow server with one worker and a sqlite store, in the peer's environment.

    Raises:
        PeerUnavailable: MLflow cannot be installed, or the server does not come up.
    """
    folder = bench.folder("mlflow-server")
    python = bench.peers.python("mlflow", _mlflow(), "virtualenv")
    with Worker(python, WORKERS / "mlflow_server.py", folder, {"folder": os.fspath(folder)}) as server:
        url = server.ask(seconds=90)
        if not url:
            raise PeerUnavailable(f"the MLflow server does not come up: see {folder}")
        yield str(url)
