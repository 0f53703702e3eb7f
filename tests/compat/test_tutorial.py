"""The four parts of the tutorial, written for `azureml.core` and run unchanged: here, and in a container."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, end_processes, needs
from tests.rig import torch_pair
from toolkit import Workspace
from toolkit.configuration import TEMPLATE

TUTORIAL = Path(__file__).parent / "tutorial"


@pytest.fixture
def project(tmp_path: Path, toolkit_home: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tutorial's folder as somebody has it who followed part 1, with the data in the folder `data`."""
    pytest.importorskip("torch", reason="needs torch, from the extra `train`")
    folder = tmp_path / "tutorial"
    shutil.copytree(TUTORIAL, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("model.py", "cifar10.py"):
        shutil.copy(REPOSITORY / "src" / name, folder / "src")
    toolkit_home.mkdir()
    (toolkit_home / "data").symlink_to(data)
    return folder


def execute(project: Path, script: str, *arguments: str) -> str:
    """`toolkit exec` of one of the scripts; what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "toolkit", "exec", script, *arguments]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_all_parts_here(project: Path, data: Path) -> None:
    execute(project, "01-create-workspace.py")
    workspace = Workspace.get("tutorial-ws")
    try:
        created = execute(project, "02-create-compute.py")
        assert "Succeeded" in created and "AmlCompute wait for completion finished" in created
        assert "Found an existing cluster, use it." in execute(project, "02-create-compute.py")

        hello = execute(project, "03-run-hello.py")
        assert hello.startswith("RunId: day1-experiment-hello_") and "Hello world!" in hello

        trained = execute(project, "04-run-pytorch.py", "train-cluster", "--batches", "300")
        assert "epoch=1, batch=  300: loss " in trained and "Finished Training" in trained
        (run,) = workspace.experiments["day1-experiment-train"].get_runs()
        assert len(run.get_metrics()["loss"]) == 3 and run.get_details()["target"] == "train-cluster"
        assert run.get_portal_url() in trained

        execute(project, "05-upload-data.py", str(data))
        with_data = execute(project, "06-run-pytorch-data.py", "train-cluster", "--batches", "200")
        check_data(workspace, with_data)
    finally:
        end_processes(workspace)


def check_data(workspace: Workspace, printed: str) -> None:
    assert "LIST FILES IN DATA PATH...\n['cifar10']" in printed and "Finished Training" in printed
    run = next(workspace.experiments["day1-experiment-data"].get_runs())
    assert len(run.get_metrics()["loss"]) == 2
    assert run.get_details()["inputDatasets"]


def test_parts_that_train_in_a_container(
    project: Path, data: Path, channel: Path, base_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(not torch_pair.why_not(), torch_pair.why_not())
    wheel, torch = torch_pair.make(tmp_path / "pair"), torch_pair.torch_wheel()
    assert torch is not None
    monkeypatch.setenv("PIP_FIND_LINKS", f"{wheel.parent} {torch.parent}")
    spec = project / ".azureml" / "pytorch-env.yml"
    text = spec.read_text()
    for written, reachable in (  # the channel and the wheels that can be reached here
        ("- defaults\n    - pytorch\n", f"- file://{channel}\n"),
        ("    - pytorch\n    - torchvision\n", ""),
        ("- numpy", "- numpy\n        - torch\n        - torchvision"),
    ):
        assert written in text
        text = text.replace(written, reachable)
    spec.write_text(text)
    execute(project, "01-create-workspace.py")
    workspace = Workspace.get("tutorial-ws")
    docker = f"docker: {{type: docker, shares: local, base_image: '{base_image}'}}"
    workspace.paths.configuration.write_text(TEMPLATE.replace("docker: {type: docker, shares: local}", docker))
    try:
        trained = execute(project, "04-run-pytorch.py", "docker", "--batches", "200")
        assert "epoch=1, batch=  200: loss " in trained
        execute(project, "05-upload-data.py", str(data))
        check_data(workspace, execute(project, "06-run-pytorch-data.py", "docker", "--batches", "200"))
        run = next(workspace.experiments["day1-experiment-data"].get_runs())
        assert run.get_details()["environment"]["image"].startswith("sha256:")
    finally:
        end_processes(workspace)
