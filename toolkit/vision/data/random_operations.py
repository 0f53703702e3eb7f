"""The random operations of a transformation on one Pillow image, for images that are written once.

Names, arguments and distributions are torchvision's; in training, `augmentation` does the same on whole batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

_CROP_SCALE, _CROP_RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of the area, width to height
_ERASED_SCALE, _ERASED_RATIO = (0.02, 0.33), (0.3, 3.3)
_DISTORTION = 0.5  # a corner moves by up to half of half the image
_TRIES = 10  # to find a part that fits


class TooSmall(Exception):
    """The image is smaller than the crop; the text gives both sizes."""


def apply_random(
    operations: Sequence[Sequence[Any]], image: Image.Image, generator: np.random.Generator
) -> Image.Image:
    """The image after random operations.

    Args:
        operations: as `Transformation.random` has them.
        image: RGB.
        generator: what is drawn comes from it alone.

    Raises:
        TooSmall: a random crop does not fit into the image.
    """
    for name, *arguments in operations:
        image = OPERATIONS[name](image, generator, *arguments)
    return image


def _resized_crop(image: Image.Image, generator: np.random.Generator, side: int) -> Image.Image:
    left, top, width, height = _part(image.size, generator)
    box = (left, top, left + width, top + height)
    return image.crop(box).resize((side, side), Image.Resampling.BILINEAR)


def _part(size: tuple[int, int], generator: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, top, width and height of a part of random area and aspect."""
    width, height = size
    for _ in range(_TRIES):
        found = _rectangle(width * height, _CROP_SCALE, _CROP_RATIO, generator)
        if 0 < found[0] <= width and 0 < found[1] <= height:
            left = int(generator.integers(0, width - found[0], endpoint=True))
            top = int(generator.integers(0, height - found[1], endpoint=True))
            return left, top, *found
    # The middle, at the nearest aspect that is allowed.
    lowest, highest = _CROP_RATIO
    if width / height < lowest:
        found = width, min(height, round(width / lowest))
    elif width / height > highest:
        found = min(width, round(height * highest)), height
    else:
        found = width, height
    return (width - found[0]) // 2, (height - found[1]) // 2, *found


def _rectangle(
    area: float, scale: tuple[float, float], ratio: tuple[float, float], generator: np.random.Generator
) -> tuple[int, int]:
    part = area * generator.uniform(*scale)
    aspect = math.exp(generator.uniform(math.log(ratio[0]), math.log(ratio[1])))
    return round(math.sqrt(part * aspect)), round(math.sqrt(part / aspect))


def _crop(image: Image.Image, generator: np.random.Generator, side: int, padding: int = 0) -> Image.Image:
    image = ImageOps.expand(image, padding) if padding else image
    width, height = image.size
    if width < side or height < side:
        raise TooSmall(f"it has {width}x{height} pixels, and the random crop is {side}x{side}")
    left = int(generator.integers(0, width - side, endpoint=True))
    top = int(generator.integers(0, height - side, endpoint=True))
    return image.crop((left, top, left + side, top + side))


def _horizontal_flip(image: Image.Image, generator: np.random.Generator, p: float = 0.5) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if generator.random() < p else image


def _vertical_flip(image: Image.Image, generator: np.random.Generator, p: float = 0.5) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if generator.random() < p else image


def _rotation(image: Image.Image, generator: np.random.Generator, degrees: float) -> Image.Image:
    return image.rotate(generator.uniform(-degrees, degrees), Image.Resampling.NEAREST)


def _perspective(image: Image.Image, generator: np.random.Generator, p: float = 0.5) -> Image.Image:
    if generator.random() >= p:
        return image
    width, height = image.size
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], dtype=np.float64)
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    reach = (int(_DISTORTION * (width // 2)), int(_DISTORTION * (height // 2)))
    moved = corners + inwards * generator.integers(0, reach, size=(4, 2), endpoint=True)
    # The map takes a point of the result to where it comes from: eight equations of its eight coefficients.
    rows, right = [], []
    for (x, y), (u, v) in zip(moved, corners):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    try:
        coefficients = np.linalg.solve(np.array(rows), np.array(right))
    except np.linalg.LinAlgError:  # an image of one pixel or two
        return image
    return image.transform(
        image.size, Image.Transform.PERSPECTIVE, coefficients.tolist(), Image.Resampling.BILINEAR
    )  # fmt: skip


def _erasing(image: Image.Image, generator: np.random.Generator, p: float = 0.5) -> Image.Image:
    if generator.random() >= p:
        return image
    width, height = image.size
    for _ in range(_TRIES):
        wide, tall = _rectangle(width * height, _ERASED_SCALE, _ERASED_RATIO, generator)
        if wide < width and tall < height:
            left = int(generator.integers(0, width - wide, endpoint=True))
            top = int(generator.integers(0, height - tall, endpoint=True))
            erased = image.copy()
            erased.paste(0, (left, top, left + wide, top + tall))
            return erased
    return image


def _no_jitter(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """The designer's colour jitter has no factors, so it changes nothing."""
    return image


OPERATIONS: dict[str, Callable[..., Image.Image]] = {
    "ColorJitter": _no_jitter,
    "RandomResizedCrop": _resized_crop,
    "RandomCrop": _crop,
    "RandomHorizontalFlip": _horizontal_flip,
    "RandomVerticalFlip": _vertical_flip,
    "RandomRotation": _rotation,
    "RandomAffine": _rotation,  # the designer gives it an angle alone
    "RandomPerspective": _perspective,
    "RandomErasing": _erasing,
}
