"""The tutorial, for real: the control script of this project trains `Net` on CIFAR-10 in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, end_processes, needs
from tests.rig import torch_pair
from toolkit import Workspace
from toolkit.configuration import TEMPLATE
from toolkit.inscript.files import read_json
from toolkit.status import read_events

pytest.importorskip("torch", reason="needs torch, from the extra `train`")


@pytest.fixture
def project(tmp_path: Path, toolkit_home: Path, data: Path) -> Path:
    """What a person has who cloned the project, with the data set where runs share it."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(REPOSITORY / "04-run-pytorch.py", folder)
    for name in ("src", "environments", ".toolkit"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    toolkit_home.mkdir()
    (toolkit_home / "data").symlink_to(data)
    return folder


def control(project: Path, *arguments: str) -> str:
    """Run the control script as a person would; what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "04-run-pytorch.py", *arguments]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_control_script_trains_the_net_and_its_curve_is_in_mlflow(project: Path) -> None:
    first = control(project, "--epochs", "1", "--max-batches", "300", "--log-every", "100")
    workspace = Workspace.get("tutorial")
    try:
        assert first.startswith("Created the workspace 'tutorial' in ")
        assert "Streaming azureml-logs/20_image_build_log.txt" in first
        assert "torch: torch " in first, "which build of torch was taken, and why"
        assert "epoch=1, batch=  300: loss " in first and "Finished Training" in first

        (run,) = workspace.experiments["day1-experiment-train"].get_runs()
        metrics = run.get_metrics()
        assert len(metrics["loss"]) == 3 and all(1.5 < loss < 3 for loss in metrics["loss"])
        assert 0 <= metrics["accuracy"] <= 1
        assert "outputs/net.pt" in run.get_file_names()
        assert run.get_details()["environment"]["torch"]["reason"]
        assert not run.get_details()["environment"]["interpreter"].startswith(sys.prefix), "packages of its own"

        url = first.strip().splitlines()[-1]
        with urllib.request.urlopen(url.partition("#")[0]) as page:
            assert page.status == 200
        known = read_json(run.directory.tracking)
        assert f"/experiments/{known['experiment_id']}/runs/{known['mlflow_run_id']}" in url
        from mlflow import MlflowClient

        client = MlflowClient(workspace.get_mlflow_tracking_uri())
        history = client.get_metric_history(known["mlflow_run_id"], "loss")
        assert [(point.step, point.value) for point in history] == [*enumerate(metrics["loss"])]

        second = control(project, "--epochs", "1", "--max-batches", "50", "--log-every", "50")
        assert "20_image_build_log" not in second, "the environment is there: nothing is built"
        newest = next(workspace.experiments["day1-experiment-train"].get_runs())
        assert newest.get_snapshot_id() == run.get_snapshot_id(), "unchanged sources are the same snapshot"
    finally:
        end_processes(workspace)


def test_by_changing_one_string_it_trains_in_a_container(
    project: Path, channel: Path, base_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tutorial's environment, with the channel that can be reached here and torch's build for CPUs, as an image."""
    needs(not torch_pair.why_not(), torch_pair.why_not())
    wheel, torch = torch_pair.make(tmp_path / "pair"), torch_pair.torch_wheel()
    assert torch is not None
    monkeypatch.setenv("PIP_FIND_LINKS", f"{wheel.parent} {torch.parent}")
    script, spec = project / "04-run-pytorch.py", project / "environments" / "pytorch-env.yml"
    script.write_text(script.read_text().replace('"cpu-cluster"', '"docker"'))
    spec.write_text(spec.read_text().replace("conda-forge", f"file://{channel}"))
    workspace = Workspace.create("tutorial")
    docker = f"docker: {{type: docker, shares: local, base_image: '{base_image}'}}"
    configuration = TEMPLATE.replace("docker: {type: docker, shares: local}", docker)
    workspace.paths.configuration.write_text(configuration)
    try:
        first = control(project, "--epochs", "1", "--max-batches", "300", "--log-every", "100")
        assert "Streaming azureml-logs/20_image_build_log.txt" in first
        assert "epoch=1, batch=  300: loss " in first and "Finished Training" in first
        (run,) = workspace.experiments["day1-experiment-train"].get_runs()
        assert all(1.5 < loss < 3 for loss in run.get_metrics()["loss"])
        assert "outputs/net.pt" in run.get_file_names()
        facts = run.get_details()["environment"]
        assert facts["image"].startswith("sha256:") and facts["torch"]["variant"] == "cpu"

        (project / "src" / "train.py").write_text((project / "src" / "train.py").read_text() + "\n# edited\n")
        control(project, "--epochs", "1", "--max-batches", "50", "--log-every", "50")
        newest = next(workspace.experiments["day1-experiment-train"].get_runs())
        assert newest.get_snapshot_id() != run.get_snapshot_id()
        assert newest.get_details()["environment"]["image"] == facts["image"], "code is no part of an image"
        assert "Preparing" not in [event.status for event in read_events(newest.directory)]
    finally:
        end_processes(workspace)
