"""Evaluate Model: how good a scored data set is."""

from __future__ import annotations

import os
from collections.abc import Callable

from toolkit.vision.directory import EVALUATION, check_output

StrPath = str | os.PathLike[str]


def evaluate_model(
    scored_dataset_path: StrPath,
    evaluation_path: StrPath,
    *,
    progress: Callable[[float, float], None] | None = None,
) -> None:
    """Evaluate a scored data set, and log what comes of it to the run.

    Args:
        scored_dataset_path: the DataFrameDirectory that Score Image Model wrote, of labelled images.
        evaluation_path: the folder that is written: evaluation.json, per_class.csv, confusion_matrix.csv, and two
            pictures.
        progress: called as progress(done, total).

    Raises:
        InvalidDatasetError: no scored data set is there, or its labels are not those of the model.
        NotLabeledDatasetError: it has no labels.
    """
    check_output(evaluation_path, EVALUATION)
    from toolkit.vision.scoring import evaluator as evaluation  # pyarrow and matplotlib come with it

    evaluation.write(scored_dataset_path, evaluation_path)
    if progress is not None:
        progress(1, 1)
