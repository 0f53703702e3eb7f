"""The decoded images of a set, as a training reads them: `Pixels.wait` for a batch, then index `Pixels.array`.

Small sets are decoded once and kept in a folder named by their content, which every process of the machine maps: later
epochs, later runs, and the ranks of a distributed one decode nothing. What is larger than the limit streams through a
ring of slots. Either way `decoding` works ahead of the training.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import PIL
from numpy.typing import NDArray

from toolkit.vision.data.image_directory import ImageDirectory, different_sizes
from toolkit.vision.data.images import UnreadableImage
from toolkit.vision.errors import InvalidDatasetError, ModuleOutOfMemoryError
from toolkit.vision.training.decoded_cache import (
    default_cache,
    existing,
    locked,
    make_room,
    remove_abandoned,
    remove_unused,
)
from toolkit.vision.training.decoding import (
    DAMAGED_BUT_READY,
    OTHER_SIZE,
    PASSING,
    PENDING,
    READY,
    SIZE_NOTE,
    Job,
    Slots,
    cores,
    decode,
)
from toolkit.vision.training.order import Sampling
from toolkit.vision.training.settings import CACHE_LIMIT_GB

_FORMAT = 1  # changes when the same files would be decoded differently
_RING_BYTES, _RING_BATCHES = 512_000_000, 64  # at most, where that is enough for a batch and those who decode the next
_PIECE, _PIECE_BYTES = 16, 4_000_000
_STALL_SECONDS = 1.0  # without news, a look at those who decode
_RING_PREFIX = "toolkit-images-"
_CHANNELS = 3


class Pixels:
    """The decoded images of an `ImageDirectory`.

    Attributes:
        height, width: of every image, in pixels.
        array: uint8 slots x height x width x 3; `wait` says where the images of a batch are.
    """

    def __init__(
        self,
        directory: ImageDirectory,
        dataset: str,
        sampling: Sampling,
        *,
        operations: Sequence[list[Any]] = (),
        epoch: int = 0,
        step: int = 0,
        workers: int = 0,
        cache: Path | None = None,
        limit_gb: float = CACHE_LIMIT_GB,
    ) -> None:
        """Start decoding in the order of `sampling`, from this epoch and step on.

        Args:
            dataset: what the set is called in messages.
            operations: the deterministic operations of a transformation, applied to each image as it is decoded.
            workers: processes that decode; 0 for one a core, 16 at most.
            cache: the folder for decoded sets; None for `default_cache()`.
            limit_gb: keep decoded sets up to so many gigabytes there; a set that is larger streams.

        Raises:
            InvalidDatasetError: no image of the set can be read, or their sizes differ.
        """
        self._directory, self._dataset, self._sampling = directory, dataset, sampling
        self._operations = list(operations)
        if not operations:
            directory.require_one_size(dataset)
        self.height, self.width = self._size()
        self._workers = workers or max(1, min(16, cores()))
        self._piece = max(1, min(_PIECE, _PIECE_BYTES // (self.height * self.width * _CHANNELS)))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._locks: list[TextIO] = []
        self._turn = 0
        self._start = (epoch, step)
        needed = len(directory) * self.height * self.width * _CHANNELS
        self.streams = False
        self.streams = not self._open_kept((cache or default_cache()).absolute(), needed, limit_gb * 1e9)
        if self.streams:
            self._open_ring()
        self.array = self._slots.pixels

    def _size(self) -> tuple[int, int]:
        """Height and width of the images: those of the first one that can be read."""
        reasons = []
        for position, file in enumerate(self._directory.files):
            try:
                pixels, _ = decode(self._directory.path(position), self._operations)
            except UnreadableImage as error:
                reasons.append(f"{file} ({error.reason})")
                continue
            return pixels.shape[0], pixels.shape[1]
        named = ", ".join(reasons[:3]) + (" …" if len(reasons) > 3 else "")
        raise InvalidDatasetError(self._dataset, f"none of its {len(reasons):,} images can be read: {named}")

    # -- a set that fits ----------------------------------------------------------------------------------------

    def _open_kept(self, cache: Path, needed: int, limit: float) -> bool:
        """Map the folder of this set in the cache; False where it would not fit there."""
        folder = cache / self._key()
        try:
            if (folder / PASSING).exists():
                remove_unused(folder)
            if not (folder / "made").is_file():
                room = shutil.disk_usage(existing(cache)).free // 2
                if needed > limit or needed > room:
                    return False
                make_room(cache, limit - needed, keep=folder)
                self._create(folder, len(self._directory))
            self._slots = Slots.open(folder, len(self._directory), self.height, self.width)
            self._folder = folder
            self._locks.append(locked(folder / "used", fcntl.LOCK_SH))
            os.utime(folder / "made")  # it is still there, and was not removed just before it was locked
            os.utime(folder / "used")
        except OSError:  # the folder cannot be written, is full, or was removed by another process just now
            self._release()
            return False
        self._fill()
        return True

    def _key(self) -> str:
        """The content of the set: what is listed, each file's size and time, and what is done to the images."""
        digest = hashlib.sha256(
            json.dumps([_FORMAT, PIL.__version__, self.height, self.width, self._operations]).encode()
        )
        digest.update(os.fsencode(self._directory.root))
        for file in self._directory.files:
            try:
                facts = os.stat(os.path.join(self._directory.root, file))
                digest.update(f"{file}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
            except OSError:
                digest.update(f"{file}\0-\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:32]

    def _create(self, folder: Path, slots: int) -> None:
        """Make a folder for `Slots`, whole or not at all."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            Slots.open(staging, slots, self.height, self.width, create=True)
            paths = [os.fsencode(self._directory.path(position)) for position in range(len(self._directory))]
            (staging / "files").write_bytes(b"\0".join(paths))
            for name in ("used", "fills", "notes", "made"):
                (staging / name).touch()
            with contextlib.suppress(OSError):  # another process was first, and its folder is as good
                os.rename(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _fill(self) -> None:
        """Have the missing images decoded, unless another process sees to it."""
        if (self._folder / "whole").exists():
            return
        try:
            lock = locked(self._folder / "fills", fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        if self._slots.status.all() and not (self._folder / PASSING).exists():
            (self._folder / "whole").touch()
            lock.close()
            return
        self._locks.append(lock)
        self._start_workers()

    # -- a set that streams -------------------------------------------------------------------------------------

    def _open_ring(self) -> None:
        image = self.height * self.width * _CHANNELS
        slots = self._ring_slots(image)
        memory = Path("/dev/shm")
        fits = memory.is_dir() and shutil.disk_usage(memory).free > 2 * slots * image
        root = memory if fits else Path(tempfile.gettempdir())
        for ring in root.glob(f"{_RING_PREFIX}*/ring"):
            remove_abandoned(ring, ring.parent)
        self._folder = Path(tempfile.mkdtemp(prefix=_RING_PREFIX, dir=root)) / "ring"
        try:
            self._create(self._folder, slots)
            self._slots = Slots.open(self._folder, slots, self.height, self.width)
        except OSError as error:
            shutil.rmtree(self._folder.parent, ignore_errors=True)
            raise ModuleOutOfMemoryError(
                f"{root} has no room for the {slots * image / 1e6:.0f} MB of images that are decoded ahead ({error})"
            ) from error
        self._locks.append(locked(self._folder / "used", fcntl.LOCK_SH))
        self._start_workers()

    def _ring_slots(self, image: int) -> int:
        """Enough for a batch and a piece of each worker; more where that is little memory, no more than needed."""
        count = len(self._directory)
        batch = min(self._sampling.batch_size, count)
        least = batch + self._piece * self._workers
        wanted = max(least, min(_RING_BYTES // image, _RING_BATCHES * batch))
        return max(batch + self._piece, min(wanted, count + self._piece))

    # -- while training -----------------------------------------------------------------------------------------

    def wait(self, images: NDArray[np.int64]) -> NDArray[np.int64]:
        """Wait until the next batch is decoded; the slots of those images that can be read.

        A set that streams gives its images in the order of its `Sampling`, and the slots hold until the next call.

        Returns:
            Two rows: positions in `images`, and their slots.

        Raises:
            InvalidDatasetError: the size of an image differs from the first one's.
        """
        slots, ready = images, self._slots.status
        if self.streams:
            turns = np.arange(self._turn, self._turn + len(images))
            slots = turns % len(ready)
            self._slots.taken[0] = self._turn
            self._turn += len(images)
            self._until(lambda: bool((self._slots.turns[slots] == turns + 1).all()))
        else:
            self._until(lambda: bool(ready[slots].all()))
        status = ready[slots]
        if (status == OTHER_SIZE).any():
            raise self._different_sizes()
        good = np.flatnonzero((status == READY) | (status == DAMAGED_BUT_READY))
        return np.stack([good, slots[good]])

    def _until(self, true: Any) -> None:
        pause, since = 0.0002, time.monotonic()
        while not true():
            time.sleep(pause)
            pause = min(pause * 1.5, 0.005)
            if time.monotonic() - since > _STALL_SECONDS:
                since = time.monotonic()
                self._look_at_workers()

    def _look_at_workers(self) -> None:
        if not self._processes:
            if not self.streams:
                self._fill()  # whoever decoded this set has ended
            return
        ended = [process.returncode for process in self._processes if process.poll()]
        if ended:
            raise RuntimeError(
                f"a process that decodes images ended with {ended[0]}"
                + (": this machine is out of memory, or somebody ended it" if ended[0] == -9 else "; see its message")
            )

    def _different_sizes(self) -> InvalidDatasetError:
        sizes = {image: reason for image, reason in self.notes().items() if re.fullmatch(SIZE_NOTE, reason)}
        found = [f"{self._directory.files[image]} has {size}" for image, size in sizes.items()]
        return different_sizes(
            self._dataset, f"the first has {self.width}x{self.height} pixels, but {', '.join(found[:3])}"
        )

    def notes(self) -> dict[int, str]:
        """What was wrong with images decoded so far, by position: DAMAGED, or why one cannot be read."""
        found: dict[int, str] = {}
        for line in (self._folder / "notes").read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # a line that is being written
                image, reason = json.loads(line)
                found[image] = reason
        return found

    @property
    def whole(self) -> bool:
        """Whether every image of the set is there: nothing has to be waited for any more."""
        return not self.streams and bool((self._slots.status != PENDING).all())

    # -- the end ------------------------------------------------------------------------------------------------

    def _start_workers(self) -> None:
        """Start them on this training's order: of a set that is kept, on what others have not decoded yet."""
        job = Job(
            self.height, self.width, self._operations, vars(self._sampling), *self._start,
            slots=len(self._slots.status), stream=self.streams, workers=self._workers, piece=self._piece,
        )  # fmt: skip
        job.write(self._folder)
        package = Path(__file__).resolve().parents[3]
        path = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
        for worker in range(self._workers):
            command = [sys.executable, "-m", "toolkit.vision.training.decoding", str(self._folder)]
            command += [str(worker), str(os.getpid())]
            environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
            # In a folder without modules, since Python looks there first; out of reach of the terminal's Ctrl-C.
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, cwd=self._folder, start_new_session=True
            )
            self._processes.append(process)

    def close(self) -> None:
        """End the workers. A set that is kept stays as far as it is decoded."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()
        self._processes.clear()
        if self.whole and not (self._folder / PASSING).exists():
            (self._folder / "whole").touch()
        self._release()
        if self.streams:
            shutil.rmtree(self._folder.parent, ignore_errors=True)

    def _release(self) -> None:
        for lock in self._locks:
            lock.close()
        self._locks.clear()

    def __enter__(self) -> Pixels:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
