"""Split Image Directory: two ImageDirectories of one, with the share of each class kept.

The images are hard-linked, so a split costs no space; where links are refused they are copied.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.inscript.errors import UserErrorException
from toolkit.vision.data.image_directory import ImageDirectory
from toolkit.vision.directory import IMAGES, check_output, new_directory
from toolkit.vision.errors import InvalidDatasetError, NotInRangeValueError

DATASET = "Input image directory"  # what it is called in messages
_FRACTION = "Fraction"
_SLACK = Decimal("1e-9")  # images: 1/3 as a float is a little less than a third
_FILES_A_STEP = 1024  # between two reports of progress
_NO_LINKS_THERE = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS)
_NOT_THIS_ONE = (errno.EMLINK,)  # it has as many as the file system allows


def split_image_directory(
    input_path: str | os.PathLike[str],
    output1_path: str | os.PathLike[str],
    output2_path: str | os.PathLike[str],
    fraction: float = 0.9,
    random_seed: int = 42,
    *,
    progress: Callable[[float, float], None] | None = None,
) -> tuple[ImageDirectory, ImageDirectory]:
    """Divide the images of an ImageDirectory at random into two, each class in the same proportion.

    Both keep all classes and their ids, so one can train and the other validate. Where a class has one image, or one
    output would have fewer images than there are classes, classes are left out of account, with a warning.

    Args:
        input_path: the ImageDirectory to divide.
        output1_path: the first ImageDirectory that is written.
        output2_path: the second ImageDirectory that is written.
        fraction: the share of images in the first one, from 1/n to 1 - 1/n of n images; rounded down to an image.
        random_seed: the same seed divides the same images in the same way.
        progress: called as progress(images done, images in all).

    Raises:
        InvalidDatasetError: not an ImageDirectory, fewer than two images in it, or an image that is missing.
        NotInRangeValueError: the fraction leaves one output without an image.
    """
    outputs = [Path(os.path.abspath(path)) for path in (output1_path, output2_path)]
    _check_apart(Path(os.path.abspath(input_path)), *outputs)
    for output in outputs:
        check_output(output, IMAGES)
    directory = ImageDirectory.load(input_path, DATASET)
    first = _count(fraction, len(directory))
    chosen = choose(directory.labels, first, random_seed)
    parts = [directory.select(np.flatnonzero(chosen)), directory.select(np.flatnonzero(~chosen))]
    with new_directory(outputs[0], IMAGES) as one, new_directory(outputs[1], IMAGES) as other:
        done = 0
        for folder, part in zip((one, other), parts):
            _link(part, folder, done, len(directory), progress)
            done += len(part)
            part.save(folder)
    return replace(parts[0], root=outputs[0]), replace(parts[1], root=outputs[1])


def choose(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.bool_]:
    """Which of the images are in the first part, at random.

    Args:
        labels: N class ids.
        count: images of the first part; each class has its share of them, to less than one image where that is
            possible, and an image in each part.
    """
    generator = np.random.default_rng(abs(seed))
    chosen = np.zeros(len(labels), dtype=np.bool_)
    classes, members = np.unique(labels, return_counts=True)
    reason = ""
    if len(classes) > 1 and members.min() < 2:
        reason = "a class has one image alone"
    elif len(classes) > 1 and min(count, len(labels) - count) < len(classes):
        reason = f"one output has fewer images than there are classes ({len(classes)})"
    if reason or len(classes) == 1:
        if reason:
            print(f"Warning: the images are divided without regard to their classes: {reason}", file=sys.stderr)
        chosen[generator.permutation(len(labels))[:count]] = True
        return chosen
    order = np.argsort(labels, kind="stable")
    for number, group in zip(_shares(members, count), np.split(order, np.cumsum(members)[:-1])):
        chosen[generator.permutation(group)[:number]] = True
    return chosen


def _shares(members: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """How many of each class are among `count`, by the largest remainder; from 1 to all but 1 of them."""
    exact = members * (count / members.sum())
    shares: NDArray[np.int64] = np.clip(np.floor(exact).astype(np.int64), 1, members - 1)
    while (missing := count - int(shares.sum())) != 0:
        step = 1 if missing > 0 else -1
        open_ones = np.flatnonzero(shares < members - 1 if step > 0 else shares > 1)
        most_wrong = np.argsort(-step * (exact - shares)[open_ones], kind="stable")[: abs(missing)]
        shares[open_ones[most_wrong]] += step
    return shares


def _count(fraction: float, images: int) -> int:
    """The number of images in the first output: floor(fraction x images), of the fraction as it is written."""
    if images < 2:
        raise InvalidDatasetError(
            DATASET, "no need to split for a dataset containing less than 2 images", "Leave this module out."
        )
    lowest, highest = f"{1 / images:g}", f"{1 - 1 / images:g}"
    if not math.isfinite(fraction):
        raise NotInRangeValueError(_FRACTION, lowest, highest, f"It is {fraction}.")
    exact = Decimal(repr(float(fraction))) * images
    if not 1 - _SLACK <= exact <= images - 1 + _SLACK:
        raise NotInRangeValueError(_FRACTION, lowest, highest, f"It is {fraction}, of {images} images.")
    return math.floor(exact + _SLACK)


def _check_apart(*folders: Path) -> None:
    real = [os.path.realpath(folder) for folder in folders]
    for number, one in enumerate(real):
        for other in real[number + 1 :]:
            if f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/"):
                raise UserErrorException(f"{one} and {other} are in each other: give folders of their own")


def _link(
    part: ImageDirectory, folder: Path, before: int, total: int, progress: Callable[[float, float], None] | None
) -> None:
    """Put the images of a part below a folder, under the same names."""
    source, target = f"{part.root}/", f"{folder}/"
    for inside in {name.rpartition("/")[0] for name in part.files}:
        os.makedirs(target + inside, exist_ok=True)
    link: Callable[[str, str], object] = _link_or_copy
    for number, name in enumerate(dict.fromkeys(part.files)):
        try:
            link(source + name, target + name)
        except FileNotFoundError as error:
            raise InvalidDatasetError(DATASET, f"{name} is in its list, and not in {part.root}") from error
        except OSError as error:
            if error.errno not in _NO_LINKS_THERE or link is shutil.copyfile:
                raise
            link = shutil.copyfile
            link(source + name, target + name)
        if progress is not None and number % _FILES_A_STEP == 0:
            progress(before + number, total)
    if progress is not None:
        progress(before + len(part), total)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NOT_THIS_ONE:
            raise
        shutil.copyfile(source, target)
