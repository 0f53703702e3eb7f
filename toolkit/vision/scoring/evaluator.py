"""The work of Evaluate Model: accuracy, precision and recall by class, confusion matrix; numbers and pictures."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.inscript.run import Run
from toolkit.vision.directory import EVALUATION, new_directory, write_meta
from toolkit.vision.errors import InvalidDatasetError, NotLabeledDatasetError
from toolkit.vision.scoring import pictures
from toolkit.vision.scoring.dataframe_directory import LABELS_KEY, Frame

DATASET = "Scored dataset"
_PROBABILITY = "Scored Probabilities_"
_TOP = 5
_SMALLEST = 1e-15  # a probability of 0 for the true class would make the log loss infinite
_NUMBERS, _CLASSES, _MATRIX = "evaluation.json", "per_class.csv", "confusion_matrix.csv"
_MATRIX_PICTURE, _CLASSES_PICTURE = "confusion_matrix.png", "per_class.png"


@dataclass(frozen=True)
class Scored:
    """Labelled rows with their scores.

    Attributes:
        names: C names of classes, by index.
        truth: N class indices.
        predicted: N class indices.
        probabilities: NxC.
        unlabeled: rows that were left out because they have no label.
    """

    names: list[str]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    unlabeled: int


@dataclass(frozen=True)
class Evaluation:
    """What came of it.

    Attributes:
        names: C names of classes.
        confusion: CxC counts, the true class by row, the predicted one by column.
        precision, recall, f1: C fractions each; 0 where nothing was predicted, or nothing is, of a class.
        numbers: the figures of the whole, by the name under which they are logged.
    """

    names: list[str]
    confusion: NDArray[np.int64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    numbers: dict[str, float]

    def per_class(self) -> dict[str, list[Any]]:
        """The table by class, a column by its name."""
        return {
            "class": self.names,
            "precision": [round(value, 6) for value in self.precision.tolist()],
            "recall": [round(value, 6) for value in self.recall.tolist()],
            "f1": [round(value, 6) for value in self.f1.tolist()],
            "support": self.confusion.sum(axis=1).tolist(),
        }


def write(scored_dataset_path: str | os.PathLike[str], evaluation_path: str | os.PathLike[str]) -> None:
    """What `evaluate_model` does."""
    scored = read_scored(scored_dataset_path)
    evaluation = evaluate(scored)
    with new_directory(evaluation_path, EVALUATION) as staging:
        _write(staging, evaluation, scored.unlabeled)
    _log(Path(evaluation_path), evaluation)


def read_scored(path: str | os.PathLike[str]) -> Scored:
    """The labelled rows of a scored data set; errors as in `evaluate_model`."""
    frame = Frame.load(path, DATASET)
    columns = [name for role, name in frame.score_columns.items() if role != LABELS_KEY]
    if LABELS_KEY not in frame.score_columns or not columns:
        raise InvalidDatasetError(DATASET, f"{path} has no columns of scores", "Make them with Score Image Model.")
    hint = "Score images that are labelled: a folder for each class, converted by Convert to Image Directory."
    if frame.label_column is None:
        raise NotLabeledDatasetError(DATASET, hint)
    names = [name.removeprefix(_PROBABILITY) for name in columns]
    labels = frame.table.column(frame.label_column).to_pylist()
    rows = np.array([row for row, label in enumerate(labels) if label is not None], dtype=np.int64)
    if not len(rows):
        raise NotLabeledDatasetError(DATASET, hint)
    numbers = {name: index for index, name in enumerate(names)}
    if unknown := sorted({label for label in labels if label is not None and label not in numbers}):
        raise InvalidDatasetError(
            DATASET,
            f"it has classes that the model was not trained on: {', '.join(unknown[:10])}; the model's: "
            + ", ".join(names[:10]),
        )
    probabilities = np.stack([frame.table.column(name).to_numpy() for name in columns], axis=1)[rows]
    truth = np.array([numbers[labels[row]] for row in rows.tolist()], dtype=np.int64)
    return Scored(names, truth, probabilities.argmax(axis=1), probabilities.astype(np.float64), len(labels) - len(rows))


def evaluate(scored: Scored) -> Evaluation:
    """The figures."""
    count, classes = len(scored.truth), len(scored.names)
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (scored.truth, scored.predicted), 1)
    right = np.diag(confusion).astype(np.float64)
    precision, recall = _share(right, confusion.sum(axis=0)), _share(right, confusion.sum(axis=1))
    f1 = _share(2 * precision * recall, precision + recall)
    of_truth = scored.probabilities[np.arange(count), scored.truth]
    accuracy = float(right.sum() / count)
    numbers = {"Accuracy": accuracy}
    if classes > _TOP:
        better = (scored.probabilities > of_truth[:, None]).sum(axis=1)
        numbers[f"Top-{_TOP} accuracy"] = float((better < _TOP).mean())
    numbers["Log loss"] = float(-np.log(np.clip(of_truth, _SMALLEST, 1)).mean())
    there = confusion.sum(axis=1) > 0  # a class without an image has no recall to take the mean of
    for name, values in (("precision", precision), ("recall", recall), ("F1", f1)):
        numbers[f"Macro {name}"] = float(values[there].mean())
        numbers[f"Micro {name}"] = accuracy  # each image has one label and one prediction: all three are the accuracy
    return Evaluation(scored.names, confusion, precision, recall, f1, numbers)


def _share(part: NDArray[np.float64], whole: NDArray[Any]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return shares


def _write(root: Path, evaluation: Evaluation, unlabeled: int) -> None:
    content = {
        "metrics": evaluation.numbers,
        "images": int(evaluation.confusion.sum()),
        "unlabeled_images": unlabeled,
        "classes": evaluation.names,
    }
    (root / _NUMBERS).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    table = evaluation.per_class()
    _write_csv(root / _CLASSES, list(table), list(zip(*table.values())))
    rows = [[name, *counts] for name, counts in zip(evaluation.names, evaluation.confusion.tolist())]
    _write_csv(root / _MATRIX, ["true \\ predicted", *evaluation.names], rows)
    pictures.save(pictures.confusion_matrix(evaluation.confusion, evaluation.names), root / _MATRIX_PICTURE)
    title = f"Accuracy {evaluation.numbers['Accuracy']:.1%} of {content['images']} images"
    bars = pictures.per_class(evaluation.names, evaluation.precision, evaluation.recall, title)
    pictures.save(bars, root / _CLASSES_PICTURE)
    write_meta(root, EVALUATION, metrics=_NUMBERS, visualization=[_MATRIX_PICTURE, _CLASSES_PICTURE])


def _write_csv(path: Path, header: list[str], rows: list[Any]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _log(root: Path, evaluation: Evaluation) -> None:
    run = Run.get_context()
    for name, value in evaluation.numbers.items():
        run.log(name, value)
    run.log_table("Per-class metrics", evaluation.per_class())
    run.log_image("Confusion matrix", path=str(root / _MATRIX_PICTURE))
    run.log_image("Precision and recall by class", path=str(root / _CLASSES_PICTURE))
