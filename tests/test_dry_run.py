"""The plan of a run instead of the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from toolkit import Experiment, PyTorchConfiguration, ScriptRunConfig, UserErrorException, Workspace, dry_run

CONTROL = """\
from azureml.core import Experiment, ScriptRunConfig, Workspace
ws = Workspace.get("test")
Experiment(ws, "tests").submit(ScriptRunConfig("source", script="train.py", arguments=["--lr", 0.1]))
print("never")
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "train.py").write_text("print(1)")
    return folder


def test_exec_shows_the_plan_and_writes_nothing(workspace: Workspace, source: Path) -> None:
    (source.parent / "control.py").write_text(CONTROL)
    command = [sys.executable, "-m", "toolkit.cli", "exec", "--dry-run", "control.py"]
    answer = subprocess.run(command, cwd=source.parent, capture_output=True, text=True, check=True)
    plan = yaml.safe_load(answer.stdout)
    assert plan["target"] == "local"
    assert plan["command"] == [sys.executable, "train.py", "--lr", "0.1"]
    assert plan["environment"]["AZUREML_ARM_PROJECT_NAME"] == "tests"
    assert not os.path.isdir(workspace.paths.runs) or not os.listdir(workspace.paths.runs)


def test_what_a_cluster_would_be_asked_for(workspace: Workspace, source: Path) -> None:
    workspace.paths.configuration.write_text("compute_targets: {c: {type: slurm, partition: gpu, gpus: 2, cpus: 4}}")
    several = PyTorchConfiguration(process_count=4, node_count=2)
    config = ScriptRunConfig(str(source), "train.py", compute_target="c", distributed_job_config=several)
    plan = yaml.safe_load(dry_run.plan(Experiment(workspace, "tests"), config))
    assert {"--nodes=2", "--gres=gpu:2", "--cpus-per-task=4", "--partition=gpu"} <= {*plan["container"]["options"]}


def test_what_cannot_work_is_refused_as_at_a_submit(workspace: Workspace, source: Path) -> None:
    experiment = Experiment(workspace, "tests")
    with pytest.raises(UserErrorException, match="script path doesn't exist"):
        dry_run.plan(experiment, ScriptRunConfig(str(source), "other.py"))
    with pytest.raises(UserErrorException, match="this is a str"):
        dry_run.plan(experiment, "train.py")
