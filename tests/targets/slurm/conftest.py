"""A real Slurm cluster of two nodes on this machine for the tests of this folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import needs, wait_until
from tests.rig import slurm as rig
from tests.rig.slurm import Slurm
from toolkit import Run, Workspace
from toolkit.inscript.files import read_json


def job_of(run: Run) -> str:
    """What Slurm calls the run; its script may have said something before this side knows."""
    wait_until(lambda: os.path.exists(run.directory.handle))
    return str(read_json(run.directory.handle)["engine_id"])


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    needs(not rig.why_not(), rig.why_not())
    with rig.cluster() as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def _targets(workspace: Workspace, slurm: Slurm) -> None:
    own = f"type: slurm, config: {slurm.configuration}, python: {sys.executable}"
    workspace.paths.configuration.write_text(
        "compute_targets:\n"
        f"  slurm: {{{own}, max_concurrent_runs: 1}}\n"
        f"  many: {{{own}}}\n"
        f"  gpus: {{{own}, gpus: 1}}\n"
        "cancel_grace_seconds: 1\n"
    )
