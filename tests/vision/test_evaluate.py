"""Evaluate Model: the figures by hand, the files, and what is logged to the run."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from toolkit.inscript.run import Run
from toolkit.vision.directory import DATA_FRAME, new_directory
from toolkit.vision.errors import InvalidDatasetError, NotLabeledDatasetError
from toolkit.vision.scoring.dataframe_directory import LABELS_KEY, Frame
from toolkit.vision.scoring.evaluate import evaluate_model


@pytest.fixture(autouse=True)
def _in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The offline run of a test writes below the current folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def _scored(path: Path, names: list[str], labels: list[str | None] | None, rows: list[list[float]]) -> Path:
    """A scored data set with these probabilities."""
    columns = [f"Scored Probabilities_{name}" for name in names]
    values = np.array(rows, dtype=np.float32)
    table = {} if labels is None else {"category": pa.array(labels, pa.string())}
    table["id"] = pa.array(range(len(rows)))
    table.update({column: pa.array(values[:, index]) for index, column in enumerate(columns)})
    table["Scored Labels"] = pa.array([names[index] for index in values.argmax(1)])
    roles = {**{column: column for column in columns}, LABELS_KEY: "Scored Labels"}
    with new_directory(path, DATA_FRAME) as staging:
        Frame(pa.table(table), roles, None if labels is None else "category").save(staging)
    return path


CASE = (
    ["a", "b", "c"],
    ["a", "a", "b", "b", "a", None],
    [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.9, 0.1, 0.0], [1, 0, 0]],
)


def test_figures_by_hand(tmp_path: Path) -> None:
    evaluate_model(_scored(tmp_path / "scored", *CASE), tmp_path / "evaluation")
    content = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert (content["images"], content["unlabeled_images"], content["classes"]) == (5, 1, ["a", "b", "c"])
    log_loss = -sum(math.log(p) for p in (0.7, 0.1, 0.5, 0.3, 0.9)) / 5
    assert content["metrics"] == pytest.approx({
        "Accuracy": 0.6, "Log loss": log_loss,
        "Macro precision": (2 / 3 + 1 / 2) / 2, "Macro recall": (2 / 3 + 1 / 2) / 2, "Macro F1": (2 / 3 + 1 / 2) / 2,
        "Micro precision": 0.6, "Micro recall": 0.6, "Micro F1": 0.6,
    })  # fmt: skip
    with open(tmp_path / "evaluation" / "per_class.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["class", "precision", "recall", "f1", "support"]
    assert rows[1] == ["a", "0.666667", "0.666667", "0.666667", "3"]
    assert rows[3] == ["c", "0.0", "0.0", "0.0", "0"]
    with open(tmp_path / "evaluation" / "confusion_matrix.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [["a", "2", "1", "0"], ["b", "1", "1", "0"], ["c", "0", "0", "0"]]
    for name in ("confusion_matrix.png", "per_class.png"):
        with Image.open(tmp_path / "evaluation" / name) as picture:
            assert min(picture.size) > 200


def test_top_5_counts_where_there_are_more_than_5_classes(tmp_path: Path) -> None:
    names = list("abcdefg")
    ranked = [0.30, 0.25, 0.15, 0.12, 0.10, 0.05, 0.03]
    labels: list[str | None] = ["a", "e", "f", "g"]
    evaluate_model(_scored(tmp_path / "scored", names, labels, [ranked] * 4), tmp_path / "evaluation")
    metrics = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())["metrics"]
    assert (metrics["Accuracy"], metrics["Top-5 accuracy"]) == (0.25, 0.5)
    few = json.loads(_evaluated(tmp_path, names[:5], ["a"], [[0.6, 0.1, 0.1, 0.1, 0.1]]).read_text())["metrics"]
    assert "Top-5 accuracy" not in few


def _evaluated(tmp_path: Path, names: list[str], labels: list[str | None], rows: list[list[float]]) -> Path:
    evaluate_model(_scored(tmp_path / "few", names, labels, rows), tmp_path / "few evaluation")
    return tmp_path / "few evaluation" / "evaluation.json"


def test_probability_zero_of_the_true_class_is_no_infinite_loss(tmp_path: Path) -> None:
    found = json.loads(_evaluated(tmp_path, ["a", "b"], ["b"], [[1.0, 0.0]]).read_text())["metrics"]
    assert found["Log loss"] == pytest.approx(-math.log(1e-15))


def test_the_run_gets_numbers_table_and_pictures(tmp_path: Path) -> None:
    evaluate_model(_scored(tmp_path / "scored", *CASE), tmp_path / "evaluation")
    metrics = Run.get_context().get_metrics()
    assert metrics["Accuracy"] == pytest.approx(0.6)
    assert metrics["Macro recall"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert metrics["Per-class metrics"]["class"] == ["a", "b", "c"]
    assert metrics["Per-class metrics"]["support"] == [3, 2, 0]
    assert metrics["Confusion matrix"].endswith("Confusion matrix.png")
    assert metrics["Precision and recall by class"].endswith("Precision and recall by class.png")


@pytest.mark.parametrize("classes", [2, 26, 120])
def test_pictures_of_few_and_many_classes(tmp_path: Path, classes: int) -> None:
    names = [f"class {number} $x^2$ 猫 with a name that goes on and on" for number in range(classes)]
    noise = np.random.default_rng(0).random((classes, classes)) + np.eye(classes) * 2
    labels: list[str | None] = list(names)
    evaluate_model(_scored(tmp_path / "scored", names, labels, noise.tolist()), tmp_path / "evaluation")
    with Image.open(tmp_path / "evaluation" / "confusion_matrix.png") as picture:
        assert 300 < picture.width < 2600


@pytest.mark.parametrize("labels", [None, [None, None]])
def test_unlabelled_data_cannot_be_evaluated(tmp_path: Path, labels: list[str | None] | None) -> None:
    scored = _scored(tmp_path / "scored", ["a", "b"], labels, [[0.5, 0.5], [0.1, 0.9]])
    with pytest.raises(NotLabeledDatasetError, match='There is no label column in "Scored dataset"') as caught:
        evaluate_model(scored, tmp_path / "evaluation")
    assert caught.value.code == 24
    assert not (tmp_path / "evaluation").exists()


def test_label_that_the_model_does_not_know(tmp_path: Path) -> None:
    scored = _scored(tmp_path / "scored", ["a", "b"], ["a", "zebra"], [[0.5, 0.5], [0.1, 0.9]])
    with pytest.raises(InvalidDatasetError, match="not trained on: zebra; the model's: a, b"):
        evaluate_model(scored, tmp_path / "evaluation")


def test_what_is_no_scored_data_set(tmp_path: Path) -> None:
    with pytest.raises(InvalidDatasetError, match="it must be a DataFrameDirectory"):
        evaluate_model(tmp_path, tmp_path / "evaluation")
    with new_directory(tmp_path / "frame", DATA_FRAME) as staging:
        Frame(pa.table({"id": [1]})).save(staging)
    with pytest.raises(InvalidDatasetError, match="no columns of scores"):
        evaluate_model(tmp_path / "frame", tmp_path / "evaluation")
    (tmp_path / "frame" / "_data.parquet").write_bytes(b"broken")
    with pytest.raises(InvalidDatasetError, match="cannot be read"):
        evaluate_model(tmp_path / "frame", tmp_path / "evaluation")
