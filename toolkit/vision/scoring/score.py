"""Score Image Model: the probabilities of the classes for each image of a directory."""

from __future__ import annotations

import os
from collections.abc import Callable

from toolkit.vision.data.image_directory import ImageDirectory
from toolkit.vision.directory import DATA_FRAME, check_output
from toolkit.vision.errors import GreaterThanOrEqualToError

DATASET = "Testing dataset"
StrPath = str | os.PathLike[str]


def score_image_model(
    trained_model_path: StrPath,
    dataset_path: StrPath,
    scored_dataset_path: StrPath,
    batch_size: int = 0,
    device: str = "auto",
    *,
    progress: Callable[[float, float], None] | None = None,
) -> None:
    """Score images with a trained model.

    The rows of the result are the images that can be read, in their order. Columns: what is known of the image
    (`category` where it is labelled, `id`), `Scored Probabilities_<class>` for each class, and `Scored Labels`.

    Args:
        trained_model_path: the ModelDirectory of a trained network.
        dataset_path: the ImageDirectory to score; labels are not needed.
        scored_dataset_path: the DataFrameDirectory that is written.
        batch_size: how many images go through the network at once, 0 or more; 0: a number that suits their size.
        device: "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:1".
        progress: called as progress(done, total) with numbers of images.

    Raises:
        InvalidModelDirectoryError: no trained ModelDirectory is there.
        InvalidDatasetError: no ImageDirectory is there, images are of another size, or none can be read.
        ModuleOutOfMemoryError: a batch is too large for the GPU.
    """
    if batch_size < 0:
        raise GreaterThanOrEqualToError("Batch size", 0)
    check_output(scored_dataset_path, DATA_FRAME)
    directory = ImageDirectory.load(dataset_path, DATASET)
    from toolkit.vision.scoring import (
        scorer as scoring,  # torch comes with it, which who only asks for the parameters need not have
    )

    scoring.score(trained_model_path, directory, scored_dataset_path, batch_size, device, progress)
