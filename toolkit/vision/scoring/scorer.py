"""The work of Score Image Model: images through a trained network, and the table that comes of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from toolkit.vision.data.image_directory import UNLABELED, ImageDirectory
from toolkit.vision.data.images import DAMAGED
from toolkit.vision.data.transformation import DETERMINISTIC, size_after
from toolkit.vision.directory import DATA_FRAME, new_directory
from toolkit.vision.errors import InvalidDatasetError, InvalidModelDirectoryError, ModuleOutOfMemoryError
from toolkit.vision.networks.model_directory import Trained, load_trained
from toolkit.vision.scoring.dataframe_directory import LABELS_KEY, Frame
from toolkit.vision.scoring.score import DATASET
from toolkit.vision.training.device import choose_device
from toolkit.vision.training.feed import Feed, Normalization
from toolkit.vision.training.order import Sampling
from toolkit.vision.training.pixels import Pixels

PROBABILITY = "Scored Probabilities_"
ASSIGNED = "Scored Labels"
LABEL = "category"
SKIPPED = "skipped_images.txt"
_PIXELS_AT_A_TIME = {"cpu": 64 * 64 * 64, "cuda": 64 * 224 * 224}  # where the batch size is chosen here
_NAMED = 5  # unreadable images in a message; the rest are in the file SKIPPED
_SAME_SIZE = (
    "Score images of the size that the model was trained on: give them the same Init Image Transformation, for "
    "inference, with Apply Image Transformation."
)


def score(
    trained_model_path: str | os.PathLike[str],
    directory: ImageDirectory,
    scored_dataset_path: str | os.PathLike[str],
    batch_size: int,
    device: str,
    progress: Callable[[float, float], None] | None,
) -> None:
    """What `score_image_model` does, with an ImageDirectory that was read."""
    where = choose_device(device)
    model = load_trained(trained_model_path)
    operations = _operations(model)
    _require_size(directory, model.image_size, operations)
    positions, probabilities, unreadable = _score(model, directory, batch_size, where, operations, progress)
    if unreadable:
        print(
            f"{len(unreadable)} images cannot be read and are left out: {_named(directory, unreadable)}",
            file=sys.stderr,
        )
    with new_directory(scored_dataset_path, DATA_FRAME) as staging:
        _frame(directory.select(positions), model.class_names, probabilities).save(staging)
        if unreadable:
            lines = "".join(f"{directory.files[place]}: {reason}\n" for place, reason in sorted(unreadable.items()))
            (staging / SKIPPED).write_text(lines, encoding="utf-8", errors="surrogateescape")


def _require_size(directory: ImageDirectory, size: tuple[int, int] | None, operations: list[Any]) -> None:
    """Refuse images that do not get the size of the model's, where sizes are known, before any is opened."""
    if directory.sizes is None:
        return
    if size is None:
        if not operations:
            directory.require_one_size(DATASET)
        return
    height, width = size
    found, first, counts = np.unique(directory.sizes, axis=0, return_index=True, return_counts=True)
    others = [number for number, one in enumerate(found) if size_after(operations, *one.tolist()) != (width, height)]
    if others:
        where = min(others, key=lambda number: int(first[number]))
        when = " after the transformation of the model" if operations else ""
        raise InvalidDatasetError(
            DATASET,
            f"{counts[others].sum()} of its {len(directory)} images have another size than {width}x{height}{when}, as "
            f"{directory.files[first[where]]} with {found[where][0]}x{found[where][1]}",
            _SAME_SIZE,
        )


def _operations(model: Trained) -> list[Any]:
    """The transformation that the model was trained with, of which random operations are no part."""
    operations = [list(one) for one in model.metadata.get("transforms") or []]
    if unknown := sorted({str(one[0]) for one in operations} - set(DETERMINISTIC)):
        raise InvalidModelDirectoryError(
            "Trained model", f"its transformation has operations that are not known: {', '.join(unknown)}"
        )
    return operations


def _score(
    model: Trained,
    directory: ImageDirectory,
    batch_size: int,
    device: torch.device,
    operations: list[Any],
    progress: Callable[[float, float], None] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float32], dict[int, str]]:
    """The places of the images that can be read, their NxC probabilities, and what is wrong with the others."""
    module = model.module.to(device)
    height, width = model.image_size or (224, 224)
    pixels_at_a_time = _PIXELS_AT_A_TIME.get(device.type, _PIXELS_AT_A_TIME["cpu"])
    size = batch_size or min(512, max(8, pixels_at_a_time // (height * width)))
    sampling, labels = Sampling(len(directory), size), torch.from_numpy(directory.labels)
    positions, probabilities, done = [], [], 0
    with Pixels(directory, DATASET, sampling, operations=operations, limit_gb=0) as pixels, torch.inference_mode():
        if model.image_size and (pixels.height, pixels.width) != model.image_size:
            raise InvalidDatasetError(
                DATASET, f"its images have {pixels.width}x{pixels.height} pixels, and {width}x{height} are needed",
                _SAME_SIZE,
            )  # fmt: skip
        normalization = Normalization(list(model.mean), list(model.std))
        try:
            for batch in Feed(pixels, labels, sampling, normalization, device, channels_last=False).epoch(0):
                positions.append(batch.positions)
                if len(batch.positions):
                    probabilities.append(torch.softmax(module(batch.images).float(), 1).cpu().numpy())
                done += size
                if progress is not None:
                    progress(min(done, len(directory)), len(directory))
        except torch.OutOfMemoryError as error:
            raise ModuleOutOfMemoryError(
                f"the GPU has no room for {size} images of {width}x{height}: set 'Batch size' to {max(1, size // 2)}"
            ) from error
        unreadable = {image: reason for image, reason in pixels.notes().items() if reason != DAMAGED}
    return np.concatenate(positions), np.concatenate(probabilities), unreadable


def _frame(directory: ImageDirectory, class_names: list[str], probabilities: NDArray[np.float32]) -> Frame:
    columns: dict[str, Any] = {"id": directory.ids, **directory.columns}
    labeled = bool(len(directory.labeled))
    if labeled:
        known = directory.categories
        columns[LABEL] = [known.get(label) if label != UNLABELED else None for label in directory.labels.tolist()]
    names = score_columns(class_names)
    table = {name: _array(columns[name]) for name in sorted(columns)}
    table.update((name, pa.array(probabilities[:, index])) for index, name in enumerate(names))
    assigned = probabilities.argmax(axis=1).astype(np.int32)
    table[ASSIGNED] = pa.DictionaryArray.from_arrays(pa.array(assigned), pa.array(class_names)).dictionary_decode()
    roles = {**{name: name for name in names}, LABELS_KEY: ASSIGNED}
    return Frame(pa.table(table), roles, LABEL if labeled else None)


def score_columns(class_names: list[str]) -> list[str]:
    """The column of each class. Two classes may have one name: ids that the schema has no name for are all `Others`."""
    names: list[str] = []
    for name in class_names:
        column = f"{PROBABILITY}{name}"
        names.append(f"{column}_{len(names)}" if column in names else column)
    return names


def _array(values: list[Any]) -> Any:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # ids of several kinds, say
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def _named(directory: ImageDirectory, unreadable: dict[int, str]) -> str:
    named = [f"{directory.files[place]} ({reason})" for place, reason in sorted(unreadable.items())[:_NAMED]]
    more = len(unreadable) - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")
