"""The engines that the figures use, real ones on this machine, by the rigs of the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.workers import Worker
from tests.rig import slurm

WORKERS = Path(__file__).parent / "workers"
SERVE = Path(__file__).parent.parent / "core" / "workers"  # how workers speak
SCRIPT = "import time; print(time.time(), flush=True)\n"


def source(bench: Bench) -> Path:
    """A folder with the script that says when it started."""
    folder = bench.folder("source")
    (folder / "first.py").write_text(SCRIPT)
    return folder


def worker(python: str, name: str, folder: Path, settings: dict[str, str], **environment: str) -> Worker:
    """A worker of this group."""
    return Worker(python, WORKERS / f"{name}.py", folder, settings, {"PYTHONPATH": str(SERVE), **environment})


@contextmanager
def slurm_cluster() -> Iterator[slurm.Slurm]:
    """A cluster, which Slurm's own programs find by SLURM_CONF."""
    with slurm.cluster(notes_starts=True) as cluster:
        before = os.environ.get("SLURM_CONF")
        os.environ["SLURM_CONF"] = str(cluster.configuration)
        try:
            yield cluster
        finally:
            os.environ.pop("SLURM_CONF")
            if before is not None:
                os.environ["SLURM_CONF"] = before
