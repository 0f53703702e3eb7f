"""TransformationDirectory: which operations make the images of a set, and those on one image.

    _meta.yaml          type: TransformationDirectory, transform_type: Image
    _transforms.json    the operations in their order, each [name, arguments…], as in [["Resize", 256]]

Names, arguments and what they do are torchvision's (https://docs.pytorch.org/vision/stable/transforms.html). Operations
whose result is always the same come first (`deterministic`); the others (`random`) are drawn for each image.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from toolkit.vision.directory import TRANSFORMATION, check_output, describe, new_directory, read_meta, write_meta
from toolkit.vision.errors import (
    GreaterThanOrEqualToError,
    InvalidTransformationDirectoryError,
    ModuleError,
    NotInRangeValueError,
)

_OPERATIONS = "_transforms.json"
_MAKE = "Make one with Init Image Transformation (`toolkit vision init-image-transformation`)."
_MOST_DEGREES = 180
_HALF = 0.5  # the probability of whatever happens or does not
_IGNORED = ("Grayscale", "RandomGrayscale")  # networks need three channels: the designer leaves these out too


@dataclass(frozen=True)
class Transformation:
    """What is done to each image.

    Attributes:
        operations: `[name, arguments…]` each, in their order; the deterministic ones first.
    """

    operations: tuple[list[Any], ...]

    @property
    def deterministic(self) -> list[list[Any]]:
        """The operations that give the same result each time: for training and for inference."""
        return [operation for operation in self.operations if operation[0] in DETERMINISTIC]

    @property
    def random(self) -> list[list[Any]]:
        """The operations that are drawn for each image: for training alone."""
        return [operation for operation in self.operations if operation[0] not in DETERMINISTIC]

    def save(self, root: Path) -> None:
        """Write the directory's files into `root`."""
        text = json.dumps([list(operation) for operation in self.operations])
        (root / _OPERATIONS).write_text(text, encoding="utf-8")
        write_meta(root, TRANSFORMATION, transform_type="Image", transforms=_OPERATIONS)


def init_image_transformation(
    output_path: str | os.PathLike[str],
    *,
    resize: bool = True,
    size: int = 256,
    center_crop: bool = True,
    crop_size: int = 224,
    pad: bool = False,
    padding: int = 0,
    color_jitter: bool = False,
    grayscale: bool = False,
    random_resized_crop: bool = False,
    random_size: int = 256,
    random_crop: bool = False,
    random_crop_size: int = 224,
    random_crop_padding: int = 0,
    random_horizontal_flip: bool = True,
    random_vertical_flip: bool = False,
    random_rotation: bool = False,
    random_rotation_degrees: float = 0,
    random_affine: bool = False,
    random_affine_degrees: float = 0,
    random_grayscale: bool = False,
    random_perspective: bool = False,
    random_erasing: bool = False,
) -> Transformation:
    """Say what is to be done to images: Apply Image Transformation, or Train PyTorch Model, does it.

    The order is fixed: that of the parameters. A resize keeps the aspect, so a crop must follow it where all images
    are to have one size.

    Args:
        output_path: the TransformationDirectory that is written.
        resize: scale each image so that its short side has `size` pixels.
        size: pixels of the short side, 1 or more.
        center_crop: cut the middle out; an image that is smaller gets a black border.
        crop_size: pixels of a side of that square, 1 or more.
        pad: add a black border.
        padding: pixels of the border on each side, 0 or more.
        color_jitter: no effect, as in the designer, which gives it no factors.
        grayscale: no effect, as in the designer: networks need three channels.
        random_resized_crop: cut a random part out, of 8 to 100 % of the area, and scale it to a square.
        random_size: pixels of a side of that square, 1 or more.
        random_crop: cut a square out at a random place; no image may be smaller.
        random_crop_size: pixels of a side of that square, 1 or more.
        random_crop_padding: pixels of a black border on each side, 0 or more, that images have for that crop alone:
            those that a network is judged by, or scores, have none, other than with `pad`.
        random_horizontal_flip: flip left and right, every other time.
        random_vertical_flip: flip top and bottom, every other time.
        random_rotation: turn by a random angle.
        random_rotation_degrees: the largest angle to either side, 0 to 180.
        random_affine: turn by a random angle, as an affine map.
        random_affine_degrees: the largest angle to either side, 0 to 180.
        random_grayscale: no effect, as in the designer: networks need three channels.
        random_perspective: view it from a random side, every other time.
        random_erasing: blacken a random rectangle of 2 to 33 % of the area, every other time.

    Raises:
        GreaterThanOrEqualToError: a size or the padding is too small.
        NotInRangeValueError: an angle is not from 0 to 180.
    """
    border = [random_crop_padding] if random_crop_padding else []
    chosen: list[tuple[bool, list[Any], str]] = [
        (resize, ["Resize", size], "Size"),
        (center_crop, ["CenterCrop", crop_size], "Crop size"),
        (pad, ["Pad", padding], "Padding"),
        (color_jitter, ["ColorJitter"], ""),
        (random_resized_crop, ["RandomResizedCrop", random_size], "Random size"),
        (random_crop, ["RandomCrop", random_crop_size, *border], "Random crop size"),
        (random_horizontal_flip, ["RandomHorizontalFlip", _HALF], ""),
        (random_vertical_flip, ["RandomVerticalFlip", _HALF], ""),
        (random_rotation, ["RandomRotation", random_rotation_degrees], "Random rotation degrees"),
        (random_affine, ["RandomAffine", random_affine_degrees], "Random affine degrees"),
        (random_perspective, ["RandomPerspective", _HALF], ""),
        (random_erasing, ["RandomErasing", _HALF], ""),
    ]
    for _, operation, parameter in chosen:
        _check(operation, parameter)
    _say_what_has_no_effect(color_jitter=color_jitter, grayscale=grayscale, random_grayscale=random_grayscale)
    made = Transformation(tuple(operation for wanted, operation, _ in chosen if wanted))
    check_output(output_path, TRANSFORMATION)
    with new_directory(output_path, TRANSFORMATION) as folder:
        made.save(folder)
    return made


def load_transformation(path: str | os.PathLike[str], argument: str = "Transformation") -> Transformation:
    """Read a TransformationDirectory, the designer's own too.

    Args:
        argument: what it is called in messages.

    Raises:
        InvalidTransformationDirectoryError: it is something else, or has an operation that is not known.
    """
    root = Path(os.path.abspath(path))
    meta = read_meta(root)
    if meta.get("type") != TRANSFORMATION:
        raise InvalidTransformationDirectoryError(
            argument, f"{describe(root)}, and it must be a {TRANSFORMATION}", _MAKE
        )
    if meta.get("transform_type", "Image") != "Image":
        kind = meta["transform_type"]
        raise InvalidTransformationDirectoryError(argument, f"it is for {kind}, not for images", _MAKE)
    try:
        found = json.loads((root / _OPERATIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidTransformationDirectoryError(argument, f"{_OPERATIONS} cannot be read ({error})", _MAKE) from error
    reason = "it is no list of operations" if not isinstance(found, list) else _what_is_wrong(found)
    if reason:
        raise InvalidTransformationDirectoryError(argument, f"{_OPERATIONS} of {root}: {reason}", _MAKE)
    return Transformation(tuple(operation for operation in found if operation[0] not in _IGNORED))


def apply_deterministic(operations: Sequence[Sequence[Any]], image: Image.Image) -> Image.Image:
    """The image after the deterministic operations.

    Args:
        operations: as `Transformation.deterministic` has them.
        image: RGB.
    """
    for name, *arguments in operations:
        image = DETERMINISTIC[name](image, *arguments)
    return image


def size_after(operations: Sequence[Sequence[Any]], width: int, height: int) -> tuple[int, int]:
    """Width and height of an image after the deterministic operations, in pixels."""
    for name, *arguments in operations:
        if name == "Resize":
            width, height = _resized(width, height, arguments[0])
        elif name == "CenterCrop":
            width = height = arguments[0]
        else:
            width, height = width + 2 * arguments[0], height + 2 * arguments[0]
    return width, height


def _resized(width: int, height: int, short: int) -> tuple[int, int]:
    """The size at which the short side has `short` pixels; as torchvision, the long one is rounded down."""
    if width <= height:
        return short, max(1, int(short * height / width))
    return max(1, int(short * width / height)), short


def _resize(image: Image.Image, short: int) -> Image.Image:
    size = _resized(*image.size, short)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)


def _center_crop(image: Image.Image, side: int) -> Image.Image:
    width, height = image.size
    if (width, height) == (side, side):
        return image
    if width < side or height < side:
        left, top = max(0, side - width) // 2, max(0, side - height) // 2
        framed = Image.new(image.mode, (max(width, side), max(height, side)))
        framed.paste(image, (left, top))
        image = framed
        width, height = image.size
    left, top = round((width - side) / 2), round((height - side) / 2)
    return image.crop((left, top, left + side, top + side))


def _pad(image: Image.Image, border: int) -> Image.Image:
    if not border:
        return image
    framed = Image.new(image.mode, (image.width + 2 * border, image.height + 2 * border))
    framed.paste(image, (border, border))
    return framed


DETERMINISTIC = {"Resize": _resize, "CenterCrop": _center_crop, "Pad": _pad}
RANDOM = (
    "ColorJitter", "RandomResizedCrop", "RandomCrop", "RandomHorizontalFlip", "RandomVerticalFlip", "RandomRotation",
    "RandomAffine", "RandomPerspective", "RandomErasing",
)  # fmt: skip
_SIZES = ("Resize", "CenterCrop", "RandomResizedCrop", "RandomCrop")
_ANGLES = ("RandomRotation", "RandomAffine")


def _check(operation: list[Any], parameter: str) -> None:
    """Refuse an argument that is out of its range.

    Raises:
        GreaterThanOrEqualToError, NotInRangeValueError: naming the parameter.
    """
    name, *arguments = operation
    for place, value in enumerate(arguments):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        whole = number and value == int(value) if number and abs(value) < 2**31 else False
        least = 1 if name in _SIZES and place == 0 else 0
        parameter = "Random crop padding" if name == "RandomCrop" and place == 1 else parameter
        if name in (*_SIZES, "Pad") and not (whole and value >= least):
            hint = f"It is {value!r}, and a whole number of pixels is needed."
            raise GreaterThanOrEqualToError(parameter, least, hint)
        if name in _ANGLES and not (number and 0 <= value <= _MOST_DEGREES):
            raise NotInRangeValueError(parameter, 0, _MOST_DEGREES, f"It is {value!r}.")
        if name not in (*_SIZES, *_ANGLES, "Pad") and not (number and 0 <= value <= 1):
            raise NotInRangeValueError(parameter, 0, 1, f"It is {value!r}.")


def _what_is_wrong(operations: list[Any]) -> str:
    """Why a stored list of operations cannot be applied; "" where it can."""
    random_seen = ""
    for operation in operations:
        if not (isinstance(operation, list) and operation and isinstance(operation[0], str)):
            return f"{operation!r} is not of the form [name, arguments…]"
        name, *arguments = operation
        if name in _IGNORED:
            continue
        if name not in DETERMINISTIC and name not in RANDOM:
            return f"{name} is not known; known are {', '.join((*DETERMINISTIC, *RANDOM))}"
        if name == "ColorJitter" and arguments:
            return f"{name} with factors is not supported, as the designer never stores any"
        needs = 1 if name in (*_SIZES, *_ANGLES, "Pad") else 0
        if not needs <= len(arguments) <= (2 if name == "RandomCrop" else 1):
            return f"{name} has {len(arguments)} arguments"
        try:
            _check(operation, name)
        except ModuleError as error:
            return error.detail
        if name in DETERMINISTIC and random_seen:
            return f"{name} comes after {random_seen}: what is random must come last"
        random_seen = random_seen if name in DETERMINISTIC else name
    return ""


def _say_what_has_no_effect(**wanted: bool) -> None:
    chosen = [name for name, value in wanted.items() if value]
    if chosen:
        print(f"Warning: no effect, as in the designer: {', '.join(chosen)}", file=sys.stderr)
