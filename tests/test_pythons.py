"""The control side on every Python that it promises, as far as this machine has them: installed, and used."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import uv
from packaging.version import Version

from tests.conftest import REPOSITORY, needs
from toolkit.environments.interpreters import installed

PROMISED = ("3.10", "3.11", "3.12", "3.13")
CONTROL = """
from toolkit import Experiment, ScriptRunConfig, Workspace
from toolkit.agent import wake
workspace = Workspace.create("pythons")
run = Experiment(workspace, "pythons").submit(ScriptRunConfig("source", "train.py"))
run.wait_for_completion()
print(run.get_metrics(), run.get_status())
wake.stop(workspace.paths)
"""


def interpreters() -> dict[str, str]:
    """The other promised Pythons of this machine: minor version to path."""
    found = {}
    for one in installed(lambda line: None, Path(tempfile.gettempdir())):
        minor = "{0.major}.{0.minor}".format(Version(one.version))
        if minor in PROMISED and minor != f"{sys.version_info.major}.{sys.version_info.minor}":
            found[minor] = one.path
    return found


@pytest.mark.parametrize("minor", [minor for minor in PROMISED if minor in interpreters()] or ["none"])
def test_a_run_is_submitted_from_another_python(minor: str, tmp_path: Path) -> None:
    needs(minor != "none", f"a Python of {', '.join(PROMISED)} beside the one that runs the tests")
    python = str(tmp_path / "venv" / "bin" / "python")
    commands = [
        [uv.find_uv_bin(), "venv", "--quiet", "--python", interpreters()[minor], str(tmp_path / "venv")],
        [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", python, str(REPOSITORY)],
    ]
    for command in commands:
        subprocess.run(command, check=True)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "train.py").write_text("from toolkit import Run\nRun.get_context().log('loss', 0.5)\n")
    done = subprocess.run([python, "-c", CONTROL], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip().endswith("{'loss': 0.5} Completed"), done.stdout + done.stderr
