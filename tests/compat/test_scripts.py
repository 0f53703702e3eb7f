"""Scripts written for Azure ML SDK v1 as its examples are, run unchanged from beginning to end by `toolkit exec`.

Each folder of `scripts/` has a control script that checks what comes of it, and the script that its runs execute.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit import Workspace

SCRIPTS = Path(__file__).parent / "scripts"
TOOLKIT = [sys.executable, "-m", "toolkit"]


def run_in(folder: Path, *command: str) -> str:
    done = subprocess.run([*command], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture
def project(tmp_path: Path, workspace: Workspace) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    Workspace.get("test").write_config(folder)
    return folder


@pytest.mark.parametrize("name", sorted(folder.name for folder in SCRIPTS.iterdir() if folder.is_dir()))
def test_a_script_of_sdk_v1(name: str, project: Path) -> None:
    shutil.copytree(SCRIPTS / name, project, dirs_exist_ok=True)
    assert run_in(project, *TOOLKIT, "exec", "control.py").splitlines()[-1] == "done"


def test_a_script_that_was_migrated(project: Path) -> None:
    """What `toolkit migrate --write` makes of it runs by plain Python."""
    shutil.copytree(SCRIPTS / "logging_api", project, dirs_exist_ok=True)
    run_in(project, *TOOLKIT, "migrate", "--write", ".")
    assert "azureml" not in (project / "control.py").read_text() + (project / "src" / "log.py").read_text()
    (project / "src" / "log.py.orig").unlink()
    assert run_in(project, sys.executable, "control.py").splitlines()[-1] == "done"
