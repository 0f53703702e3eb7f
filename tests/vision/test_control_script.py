"""The control script for image folders, for real: each module a run, here or in a container."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, end_processes, needs
from tests.rig import cifar_folders, torch_pair
from toolkit import Run, Workspace
from toolkit.configuration import TEMPLATE
from toolkit.inscript.files import read_json
from toolkit.vision.training.report import METRICS

SCRIPT = REPOSITORY / "docs" / "train-image-folder.py"
MODULES = (
    "convert-to-image-directory", "split-image-directory", "init-image-transformation", "network",
    "train-pytorch-model", "score-image-model", "evaluate-model",
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, toolkit_home: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of a person with images of four classes and a name with a blank and an umlaut."""
    folder = tmp_path / "Süße Tiere"
    cifar_folders.write(data, folder / "photos", 40, classes=4)
    monkeypatch.chdir(folder)
    Workspace.create("vision").write_config()
    return folder


def control(script: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, str(script), "photos", "--size", "32", "--epochs", "2", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def runs_by_step(workspace: Workspace) -> dict[str, Run]:
    return {run.get_tags()["step"]: run for run in workspace.experiments["train-image-folder"].get_runs()}


def check(workspace: Workspace, printed: str, folder: Path) -> None:
    runs = runs_by_step(workspace)
    assert sorted(runs) == sorted(MODULES)
    for run in runs.values():
        assert run.get_status() == "Completed"
        info = Path(run.directory.artifacts) / "module_statistics" / "error_info.json"
        assert json.loads(info.read_text()) == {"Exception": None}

    metrics = runs["train-pytorch-model"].get_metrics()
    for name, column in METRICS.items():
        assert list(metrics[name]) == ["epoch", column] and metrics[name]["epoch"] == [1, 2]
    assert "outputs/trained_model_outputs/model_spec.yaml" in runs["train-pytorch-model"].get_file_names()

    scores = runs["evaluate-model"].get_metrics()
    best = max(metrics["Top-1 validation accuracy"]["top1_acc"])
    assert scores["Accuracy"] == pytest.approx(best), "the best epoch is the one that was saved and scored"
    assert "Confusion matrix.png" in runs["evaluate-model"].get_file_names()
    assert (folder / "scored" / "_data.parquet").is_file()
    assert f"accuracy {best:.1%}; the model is models:/photos/1" in printed


def test_from_a_folder_to_a_registered_model(project: Path) -> None:
    printed = control(SCRIPT, "--batch-size", "16")
    workspace = Workspace.get("vision")
    try:
        check(workspace, printed, project / "photos-training")
        url = printed.strip().splitlines()[-1]
        with urllib.request.urlopen(url.partition("#")[0]) as page:
            assert page.status == 200
        training = runs_by_step(workspace)["train-pytorch-model"]
        assert read_json(training.directory.tracking)["mlflow_run_id"] in url
        assert not training.get_details()["environment"]["interpreter"].startswith(sys.prefix), "packages of its own"

        import mlflow
        import torch

        mlflow.set_tracking_uri(workspace.get_mlflow_tracking_uri())
        model = mlflow.pytorch.load_model("models:/photos/1")
        probabilities = model(torch.rand(2, 3, 32, 32))
        assert probabilities.shape == (2, 4) and torch.allclose(probabilities.sum(1), torch.ones(2))
    finally:
        end_processes(workspace)


def test_in_containers_by_one_option(
    project: Path, channel: Path, base_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(not torch_pair.why_not(), torch_pair.why_not())
    wheel, torch = torch_pair.make(tmp_path / "pair"), torch_pair.torch_wheel()
    assert torch is not None
    monkeypatch.setenv("PIP_FIND_LINKS", f"{wheel.parent} {torch.parent}")
    workspace = Workspace.get("vision")
    docker = f"docker: {{type: docker, shares: local, base_image: '{base_image}'}}"
    workspace.paths.configuration.write_text(TEMPLATE.replace("docker: {type: docker, shares: local}", docker))
    script = tmp_path / "checkout" / "docs" / SCRIPT.name
    script.parent.mkdir(parents=True)
    script.write_text(SCRIPT.read_text())
    spec = tmp_path / "checkout" / "environments" / "vision-env.yml"
    spec.parent.mkdir()
    original = (REPOSITORY / "environments" / "vision-env.yml").read_text()
    spec.write_text(original.replace("conda-forge", f"file://{channel}"))
    try:
        printed = control(script, "--compute-target", "docker")
        check(workspace, printed, project / "photos-training")
        for run in runs_by_step(workspace).values():
            assert run.get_details()["environment"]["image"].startswith("sha256:")
    finally:
        end_processes(workspace)
