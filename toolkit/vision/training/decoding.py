"""Worker processes that decode images into shared memory, ahead of the training that will ask for them.

A worker is `python -m toolkit.vision.training.decoding FOLDER WORKER PARENT`. It ends with the process PARENT, the
training, and FOLDER is all that it shares with it:

    job.json    what is to be decoded: see `Job`
    files       the paths of the images, separated by zero bytes
    pixels      uint8 slots x height x width x 3
    status      uint8, one a slot: see the constants
    turns       int64, one a slot: which turn's image is in it (streams only)
    passing     is there where an image could not be read for a reason that may pass
    taken       int64, one: the turns that the training needs no more (streams only)
    notes       lines of JSON: what was wrong with which image

A set that fits has a slot an image, and each image is decoded once. Of a larger one the slots are a ring: turn t is
decoded into slot t % slots as soon as turn t - slots has been taken. Workers take every n-th piece, so nothing has to
be told to them. This module imports no torch: a worker is there in a tenth of a second and takes 40 MB.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.vision.data.images import DAMAGED, UnreadableImage, oddities, read_image
from toolkit.vision.data.transformation import apply_deterministic
from toolkit.vision.training.order import Sampling

PENDING, READY, DAMAGED_BUT_READY, UNREADABLE, OTHER_SIZE = range(5)
PASSING = "passing"
SIZE_NOTE = r"\d+x\d+ pixels"  # the note on an image of another size
_NICENESS = 10  # the training goes first; decoders take what it leaves
_POLL_SECONDS = 0.002


@dataclass(frozen=True)
class Job:
    """What is to be decoded.

    Attributes:
        height, width: of every decoded image, in pixels.
        operations: applied to each image first, as `transformation` stores them.
        sampling: the fields of the `Sampling` that the training uses.
        epoch, step: where the training starts.
        slots: images that the folder holds.
        stream: whether the slots are a ring.
        workers: how many share the work.
        piece: images between two looks at the ring, and at the process that started this one.
    """

    height: int
    width: int
    operations: list[list[Any]]
    sampling: dict[str, Any]
    epoch: int
    step: int
    slots: int
    stream: bool
    workers: int
    piece: int

    def write(self, folder: Path) -> None:
        (folder / "job.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Job:
        return cls(**json.loads((folder / "job.json").read_text(encoding="utf-8")))


class SharedArray:
    """An array in a file that several processes map. Its disk space is reserved, so that no write of it can fail."""

    def __init__(self, path: Path, dtype: type[np.generic], shape: tuple[int, ...], create: bool = False) -> None:
        size = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        with open(path, "x+b" if create else "r+b") as file:
            if create:
                file.truncate(size)
            if create and hasattr(os, "posix_fallocate"):  # macOS has none: there the file is sparse
                os.posix_fallocate(file.fileno(), 0, size)
            self.memory = mmap.mmap(file.fileno(), size)
        self.array: NDArray[Any] = np.ndarray(shape, dtype, buffer=self.memory)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Slots:
    """The shared memory of a folder."""

    pixels: NDArray[np.uint8]
    status: NDArray[np.uint8]
    turns: NDArray[np.int64]
    taken: NDArray[np.int64]

    @classmethod
    def open(cls, folder: Path, slots: int, height: int, width: int, create: bool = False) -> Slots:
        """Map the files of `folder`. OSError where there is no space for them."""
        shapes: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
            "pixels": (np.uint8, (slots, height, width, 3)),
            "status": (np.uint8, (slots,)),
            "turns": (np.int64, (slots,)),
            "taken": (np.int64, (1,)),
        }
        return cls(**{name: SharedArray(folder / name, *facts, create).array for name, facts in shapes.items()})


def decode(path: str, operations: list[list[Any]]) -> tuple[NDArray[np.uint8], bool]:
    """The pixels of an image, HxWx3, with the operations applied, and whether its file is damaged.

    Raises:
        UnreadableImage: it cannot be read.
    """
    image = read_image(path)
    damaged = DAMAGED in oddities(image)
    if operations:
        image = apply_deterministic(operations, image)
    return np.asarray(image), damaged


def main(folder: Path, worker: int, parent: int) -> None:
    """Decode this worker's share until all is done, or the process `parent`, the training, has ended."""
    os.nice(_NICENESS)
    job = Job.read(folder)
    files = [os.fsdecode(name) for name in (folder / "files").read_bytes().split(b"\0")]
    slots = Slots.open(folder, job.slots, job.height, job.width)
    with open(folder / "notes", "a", encoding="utf-8") as notes:
        for turns, images in _pieces(job, worker):
            if job.stream and not _wait_for_slots(slots, int(turns[-1]) - job.slots, parent):
                shutil.rmtree(folder.parent, ignore_errors=True)  # whoever made it was killed
                return
            places = turns % job.slots if job.stream else images
            found = [
                PENDING
                if not job.stream and slots.status[place]
                else _decode_into(slots.pixels[place], file, job, folder)
                for place, file in zip(places, (files[image] for image in images))
            ]
            if os.getppid() != parent:
                return
            for turn, image, place, one in zip(turns, images, places, found):
                status, reason = one if isinstance(one, tuple) else (one, "")
                if status == PENDING:
                    continue
                if reason:
                    notes.write(json.dumps([int(image), reason]) + "\n")
                    notes.flush()
                slots.status[place] = status
                slots.turns[place] = turn + 1


def _decode_into(target: NDArray[np.uint8], file: str, job: Job, folder: Path) -> tuple[int, str]:
    try:
        pixels, damaged = decode(file, job.operations)
    except UnreadableImage as error:
        if getattr(error.__cause__, "errno", None):  # the disk's fault or the network's, not the image's
            (folder / PASSING).touch()
        return UNREADABLE, error.reason
    if pixels.shape != target.shape:
        return OTHER_SIZE, f"{pixels.shape[1]}x{pixels.shape[0]} pixels"
    target[...] = pixels
    return (DAMAGED_BUT_READY, DAMAGED) if damaged else (READY, "")


def _pieces(job: Job, worker: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The turns and images of a worker, a piece at a time."""
    sampling = Sampling(**job.sampling)
    if not job.stream:
        order = sampling.epoch(job.epoch)
        for start in range(worker * job.piece, len(order), job.workers * job.piece):
            piece = slice(start, start + job.piece)
            yield np.arange(len(order))[piece], order[piece]
        return
    epoch, step, turn, number = job.epoch, job.step, 0, 0
    while True:
        batches = sampling.batches(epoch, step)
        order = np.concatenate(batches) if batches else np.empty(0, np.int64)
        for start in range(0, len(order), job.piece):
            images = order[start : start + job.piece]
            if number % job.workers == worker:
                yield np.arange(turn, turn + len(images)), images
            turn += len(images)
            number += 1
        epoch, step = epoch + 1, 0


def _wait_for_slots(slots: Slots, turn: int, parent: int) -> bool:
    """Wait until `turn` has been taken; False where the training has ended."""
    while slots.taken[0] <= turn:
        if os.getppid() != parent:
            return False
        time.sleep(_POLL_SECONDS)
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
