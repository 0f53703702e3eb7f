"""Fashion-MNIST from Debian's package `dataset-fashion-mnist`, as class folders of grey PNGs."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.rig import cache, debian

CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_PACKAGE = "dataset-fashion-mnist"
_INSTALLED = Path("/usr/share/datasets/fashion-mnist")
_UBYTE = 0x08  # in an IDX file, the type of its values


def why_not() -> str:
    """Why it cannot be had on this machine; "" where it can."""
    return "" if _INSTALLED.is_dir() else debian.why_not()


def folder() -> Path:
    """The folder with the four IDX files: the machine's own, else one in the rig's cache (30 MB, fetched once)."""
    if _INSTALLED.is_dir():
        return _INSTALLED
    with cache.locked(_PACKAGE) as held:
        found = held / "files" / _INSTALLED.relative_to("/")
        if not (held / "whole").exists():
            debian.unpack(debian.fetch([_PACKAGE], dependencies=False), held / "files")
            (held / "whole").touch()
        return found


def load(train: bool = True) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels, Nx28x28, and labels, N: 60,000 for training or 10,000 for the test."""
    part = "train" if train else "t10k"
    return _read(f"{part}-images-idx3-ubyte"), _read(f"{part}-labels-idx1-ubyte")


def write(target: Path, per_class: int, train: bool = True) -> Path:
    """Write the first `per_class` images of each class as `<class>/<number>.png`, numbers from 0000."""
    pixels, labels = load(train)
    for index, name in enumerate(CLASSES):
        (target / name).mkdir(parents=True)
        for number, position in enumerate(np.flatnonzero(labels == index)[:per_class]):
            Image.fromarray(pixels[position]).save(target / name / f"{number:04}.png")
    return target


def _read(name: str) -> NDArray[np.uint8]:
    """An IDX file: two zero bytes, the type, the number of dimensions, each as 4 bytes big-endian, the values."""
    place = folder()
    packed = place / f"{name}.gz"
    content = gzip.decompress(packed.read_bytes()) if packed.exists() else (place / name).read_bytes()
    assert content[:3] == bytes([0, 0, _UBYTE]), f"{name} is no IDX file of bytes"
    dimensions = content[3]
    shape = [int.from_bytes(content[4 + 4 * one : 8 + 4 * one], "big") for one in range(dimensions)]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
