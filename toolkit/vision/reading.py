"""Images of a directory read once, in order, batch after batch: for scoring."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.vision.image_directory import ImageDirectory
from toolkit.vision.images import UnreadableImage, read_image
from toolkit.vision.transformation import apply_deterministic

_BATCHES_AHEAD = 3


@dataclass(frozen=True)
class Batch:
    """Images that were read together.

    Attributes:
        positions: N places in the directory.
        pixels: uint8 NxHxWx3.
        unreadable: the places of images that cannot be read, and why.
    """

    positions: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    unreadable: dict[int, str]


class OtherSize(Exception):
    """An image of another size than the ones that are asked for; the text names it."""


def batches(
    directory: ImageDirectory,
    batch_size: int,
    size: tuple[int, int] | None,
    operations: Sequence[Sequence[Any]] = (),
    threads: int | None = None,
) -> Iterator[Batch]:
    """All images in their order, some batches ahead of whoever asks. Pillow decodes in threads on all cores.

    Args:
        size: the height and width in pixels that all must have; None: those of the first.
        operations: applied to each image first, as `transformation` stores them.
        threads: how many read; by default one a core.

    Raises:
        OtherSize: an image has another size.
    """

    def read(position: int) -> NDArray[np.uint8] | str:
        try:
            image = read_image(directory.path(position))
            changed = apply_deterministic([list(one) for one in operations], image) if operations else image
            return np.asarray(changed, dtype=np.uint8)
        except UnreadableImage as error:
            return error.reason

    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        ahead: deque[list[Future[NDArray[np.uint8] | str]]] = deque()
        starts = range(0, len(directory), batch_size)
        try:
            for number, start in enumerate(starts):
                for begin in starts[number + len(ahead) : number + _BATCHES_AHEAD]:
                    ahead.append([pool.submit(read, one) for one in _places(begin, batch_size, len(directory))])
                found = [future.result() for future in ahead.popleft()]
                batch, size = _joined(directory, start, found, size)
                yield batch
        finally:
            for future in (one for waiting in ahead for one in waiting):
                future.cancel()


def _places(start: int, batch_size: int, count: int) -> range:
    return range(start, min(start + batch_size, count))


def _joined(
    directory: ImageDirectory,
    start: int,
    found: list[NDArray[np.uint8] | str],
    size: tuple[int, int] | None,
) -> tuple[Batch, tuple[int, int] | None]:
    kept, pixels, unreadable = [], [], {}
    for position, one in enumerate(found, start=start):
        if isinstance(one, str):
            unreadable[position] = one
            continue
        size = size or (one.shape[0], one.shape[1])
        if one.shape[:2] != size:
            raise OtherSize(
                f"{directory.files[position]} has {one.shape[1]}x{one.shape[0]} pixels, and {size[1]}x{size[0]} are "
                "needed"
            )
        kept.append(position)
        pixels.append(one)
    height, width = size or (0, 0)
    array = np.stack(pixels) if pixels else np.empty((0, height, width, 3), np.uint8)
    return Batch(np.array(kept, dtype=np.int64), array, unreadable), size
