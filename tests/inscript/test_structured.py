"""Confusion matrices, accuracy tables, residuals and predictions: kept without loss, read back, drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from tests.conftest import Submit, wait_until
from toolkit import Workspace
from toolkit.agent import figures
from toolkit.inscript.files import read_json
from toolkit.inscript.run import Run
from toolkit.inscript.rundir import RunDirectory

VALUES: dict[str, dict[str, Any]] = {
    "confusion_matrix": {"class_labels": ["cat", "dog"], "matrix": [[30, 1], [0, 40]]},
    "accuracy_table": {
        "probability_tables": [[[82, 118, 0, 0], [75, 31, 87, 7], [0, 0, 118, 82]]] * 2,
        "percentile_tables": [],
        "probability_thresholds": [0.0, 0.5, 1.0],
        "class_labels": ["0", "1"],
    },
    "residuals": {"bin_edges": [-100, 0, 100], "bin_counts": [5, 20, 30.5]},
    "predictions": {
        "bin_averages": [0.25, 0.75], "bin_errors": [0.01, 0.04], "bin_counts": [56, 34], "bin_edges": [0, 0.5, 1],
    },
}  # fmt: skip


def whole(kind: str) -> dict[str, Any]:
    return {"schema_type": kind, "schema_version": "1.0.0", "data": VALUES[kind]}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(RunDirectory(str(tmp_path / "run_1")))


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("as_text", [False, True])
def test_it_reads_back_the_same(run: Run, kind: str, as_text: bool) -> None:
    value = whole(kind)
    getattr(run, f"log_{kind}")("scores", json.dumps(value) if as_text else value)
    assert run.get_metrics() == {"scores": "scores.json"}
    assert run.get_metrics("scores", populate=True) == {"scores": value}
    assert run.get_file_names() == ["scores.json"]


def test_arrays_in_it_become_lists(run: Run) -> None:
    value = whole("confusion_matrix")
    value["data"] = {"class_labels": ["a"], "matrix": numpy.array([[3]]), "share": numpy.float32(0.5)}
    run.log_confusion_matrix("cm", value)
    assert run.get_metrics("nothing", populate=True) == {}
    assert run.get_metrics(populate=True)["cm"]["data"] == {"class_labels": ["a"], "matrix": [[3]], "share": 0.5}


@pytest.mark.parametrize("value", ["no json", [1, 2], None, {"data": {1, 2}}])
def test_what_is_no_json_is_said_and_the_script_goes_on(
    run: Run, value: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.inscript.values._warned", set())
    run.log_residuals("r", value)
    assert "Invalid JSON provided: log_residuals('r')" in capsys.readouterr().err
    assert run.get_metrics() == {}


@pytest.mark.parametrize("kind", VALUES)
def test_it_is_drawn(kind: str, tmp_path: Path) -> None:
    (tmp_path / "value.json").write_text(json.dumps(whole(kind)))
    wanted = str(tmp_path / "figure.png")
    assert figures.draw([(kind, str(tmp_path / "value.json"), wanted)]) == [wanted]
    with Image.open(wanted) as figure:
        assert figure.width > 500 and len(figure.convert("RGB").getcolors(1 << 20)) > 10  # more than axes


def test_what_cannot_be_drawn_is_no_figure_and_the_others_are(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"data": {}}')
    (tmp_path / "good.json").write_text(json.dumps(whole("residuals")))
    wanted = [("residuals", str(tmp_path / f"{name}.json"), str(tmp_path / f"{name}.png")) for name in ("bad", "good")]
    assert figures.draw(wanted) == [str(tmp_path / "good.png")]
    assert figures.draw([]) == []


def test_mlflow_has_the_value_and_its_figure(submit: Submit, workspace: Workspace) -> None:
    run = submit(f"""
        from toolkit import Run
        Run.get_context().log_confusion_matrix("cm", {whole("confusion_matrix")!r})
        Run.get_context().log_residuals("odd", {{"data": {{}}}})
    """)
    run.wait_for_completion()
    wait_until(lambda: not (workspace.paths.untracked / run.id).exists())
    from mlflow import MlflowClient

    client = MlflowClient(workspace.get_mlflow_tracking_uri())
    mlflow_run_id = read_json(run.directory.tracking)["mlflow_run_id"]
    names = {found.path for found in client.list_artifacts(mlflow_run_id)}
    assert {"cm.json", "odd.json", "figures"} <= names
    assert [found.path for found in client.list_artifacts(mlflow_run_id, "figures")] == ["figures/cm.png"]
    assert run.get_metrics(populate=True) == {"cm": whole("confusion_matrix"), "odd": {"data": {}}}
