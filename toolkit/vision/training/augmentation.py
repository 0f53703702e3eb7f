"""The random operations of a transformation on whole batches: anew in every epoch, on the GPU where there is one.

What is drawn depends on seed, epoch and step alone, and is drawn for the images of all ranks, so that a training that
resumes, or is shared by several processes, sees the same pictures. Names, arguments and defaults are torchvision's
(https://docs.pytorch.org/vision/stable/transforms.html).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as transforms

from toolkit.inscript.errors import UserErrorException

_RESIZED_CROP_SCALE, _RESIZED_CROP_RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
_ERASED_SCALE, _ERASED_RATIO = (0.02, 0.33), (0.3, 3.3)
_DISTORTION = 0.5


class Augmentation:
    """Random operations, in their order, on float images Nx3xHxW.

    Args:
        operations: `[name, arguments…]` each, as a transformation stores them.

    Raises:
        UserErrorException: an operation that is not known.
    """

    def __init__(self, operations: Sequence[Sequence[Any]]) -> None:
        unknown = [str(name) for name, *_ in operations if name not in OPERATIONS]
        if unknown:
            raise UserErrorException(f"not a random operation: {', '.join(unknown)}; there are {', '.join(OPERATIONS)}")
        self._operations = [(OPERATIONS[name], arguments) for name, *arguments in operations]

    def __bool__(self) -> bool:
        return bool(self._operations)

    def __call__(self, images: Tensor, seed: int, places: Tensor | None = None, total: int = 0) -> Tensor:
        """Another picture of each image.

        Args:
            seed: of this step.
            places: N places of these images among the `total` of the step, on all ranks; None: they are all of it.
        """
        total = total or len(images)
        generator = torch.Generator().manual_seed(seed)
        device = images.device

        def draw(low: float = 0.0, high: float = 1.0, columns: int = 1) -> Tensor:
            numbers = torch.rand(total, columns, generator=generator)
            chosen = numbers if places is None else numbers[places]
            return (chosen * (high - low) + low).squeeze(1).to(device)

        for operation, arguments in self._operations:
            images = operation(images, draw, *arguments)
        return images


Draw = Callable[..., Tensor]  # draw(low, high, columns): a uniform number for each image, N or Nxcolumns


def _horizontal_flip(images: Tensor, draw: Draw, p: float = 0.5) -> Tensor:
    return torch.where((draw() < p)[:, None, None, None], images.flip(-1), images)


def _vertical_flip(images: Tensor, draw: Draw, p: float = 0.5) -> Tensor:
    return torch.where((draw() < p)[:, None, None, None], images.flip(-2), images)


def _crop(images: Tensor, draw: Draw, size: int, padding: int = 0) -> Tensor:
    images = F.pad(images, [padding] * 4) if padding else images
    height, width = images.shape[-2:]
    if size > min(height, width):
        raise UserErrorException(f"a random crop of {size} does not fit into images of {width}x{height} pixels")
    window = torch.arange(size, device=images.device)
    rows = (draw() * (height - size + 1)).long()[:, None] + window
    columns = (draw() * (width - size + 1)).long()[:, None] + window
    number = torch.arange(len(images), device=images.device)[:, None, None]
    cropped = images.permute(0, 2, 3, 1)[number, rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2)


def _resized_crop(images: Tensor, draw: Draw, size: int) -> Tensor:
    """A part of each image, of random area and aspect, at the size of all."""
    height, width = images.shape[-2:]
    area = draw(*_RESIZED_CROP_SCALE) * height * width
    aspect = draw(math.log(_RESIZED_CROP_RATIO[0]), math.log(_RESIZED_CROP_RATIO[1])).exp()
    part_width = (area * aspect).sqrt().round().clamp(1, width)
    part_height = (area / aspect).sqrt().round().clamp(1, height)
    top = (draw() * (height - part_height + 1)).floor()
    left = (draw() * (width - part_width + 1)).floor()
    boxes = torch.stack([top, left, part_height, part_width], 1).long().tolist()
    cropped = [
        transforms.resized_crop(image, *box, size=[size, size], antialias=True) for image, box in zip(images, boxes)
    ]
    return torch.stack(cropped)


def _rotation(images: Tensor, draw: Draw, degrees: float) -> Tensor:
    return _warp(images, _rotations(draw(-degrees, degrees), images))


def _affine(images: Tensor, draw: Draw, degrees: float) -> Tensor:
    """As the designer has it, an affine operation draws an angle and nothing else."""
    return _rotation(images, draw, degrees)


def _perspective(images: Tensor, draw: Draw, p: float = 0.5) -> Tensor:
    """Each corner moves inwards by up to a quarter of the image, in the images that are chosen."""
    height, width = images.shape[-2:]
    chosen = draw() < p
    moves = draw(0, _DISTORTION / 2, 8).reshape(-1, 4, 2)
    extent = torch.tensor([width - 1.0, height - 1.0], device=images.device)
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], device=images.device)
    inwards = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]], device=images.device)
    moved = (corners + inwards * moves) * extent
    matrices = _homographies(moved, (corners * extent).expand_as(moved))
    same = torch.eye(3, device=images.device).expand_as(matrices)
    return _warp(images, torch.where(chosen[:, None, None], matrices, same), mode="bilinear")


def _erasing(images: Tensor, draw: Draw, p: float = 0.5) -> Tensor:
    """A black rectangle in the images that are chosen."""
    height, width = images.shape[-2:]
    chosen = draw() < p
    area = draw(*_ERASED_SCALE) * height * width
    aspect = draw(math.log(_ERASED_RATIO[0]), math.log(_ERASED_RATIO[1])).exp()
    tall = (area * aspect).sqrt().round().clamp(1, height)
    wide = (area / aspect).sqrt().round().clamp(1, width)
    top = (draw() * (height - tall + 1)).floor()
    left = (draw() * (width - wide + 1)).floor()
    row = torch.arange(height, device=images.device)[None, :, None]
    column = torch.arange(width, device=images.device)[None, None, :]
    top, left, tall, wide = (one[:, None, None] for one in (top, left, tall, wide))
    inside = (row >= top) & (row < top + tall) & (column >= left) & (column < left + wide)
    return images.masked_fill((inside & chosen[:, None, None])[:, None], 0.0)


def _no_jitter(images: Tensor, draw: Draw) -> Tensor:
    """The designer's colour jitter has no factors, so it changes nothing."""
    return images


OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "ColorJitter": _no_jitter,
    "RandomResizedCrop": _resized_crop,
    "RandomCrop": _crop,
    "RandomHorizontalFlip": _horizontal_flip,
    "RandomVerticalFlip": _vertical_flip,
    "RandomRotation": _rotation,
    "RandomAffine": _affine,
    "RandomPerspective": _perspective,
    "RandomErasing": _erasing,
}


# -- geometry: 3x3 matrices that take a pixel of the result to where it comes from, (x, y, 1) in pixels ---------------


def _rotations(angles: Tensor, images: Tensor) -> Tensor:
    """Counter-clockwise by `angles`, in degrees, around the middle: Nx3x3."""
    height, width = images.shape[-2:]
    x, y = (width - 1) / 2, (height - 1) / 2
    cosine, sine = angles.deg2rad().cos(), angles.deg2rad().sin()
    zero, one = torch.zeros_like(angles), torch.ones_like(angles)
    rows = [cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y, zero, zero, one]
    return torch.stack(rows, 1).reshape(-1, 3, 3)


def _homographies(results: Tensor, sources: Tensor) -> Tensor:
    """The matrices that take four points Nx4x2 to four others: Nx3x3, by eight linear equations each."""
    (x, y), (u, v) = results.unbind(-1), sources.unbind(-1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    first = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], -1)
    second = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], -1)
    solved = torch.linalg.solve(torch.cat([first, second], 1), torch.cat([u, v], 1))
    return torch.cat([solved, torch.ones_like(solved[:, :1])], 1).reshape(-1, 3, 3)


def _warp(images: Tensor, matrices: Tensor, mode: str = "nearest") -> Tensor:
    """Images whose pixels come from where `matrices` say; black where that is outside."""
    height, width = images.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=images.device), torch.arange(width, device=images.device), indexing="ij"
    )
    x, y = x.reshape(1, -1), y.reshape(1, -1)
    # Not a product of matrices: a GPU may round that to 10 bits, a tenth of a pixel.
    u, v, w = (matrices[:, row, :1] * x + matrices[:, row, 1:2] * y + matrices[:, row, 2:] for row in range(3))
    sources = torch.stack([u / w, v / w], -1)
    extent = torch.tensor([max(1, width - 1), max(1, height - 1)], device=images.device)
    grid = (sources / extent * 2 - 1).reshape(len(images), height, width, 2).to(images.dtype)
    return F.grid_sample(images, grid, mode=mode, padding_mode="zeros", align_corners=True)
