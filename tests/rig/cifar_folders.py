"""The real CIFAR-10 as a person has it: a folder for each class, with PNGs in it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

_SOURCE = Path(__file__).resolve().parent.parent.parent / "src" / "cifar10.py"


def write(
    data: Path, folder: Path, per_class: int, train: bool = True, classes: int = 10, suffix: str = ".png"
) -> Path:
    """Write the first `per_class` images of each class as `<class>/<number><suffix>`, numbers from 00000.

    Args:
        data: the data folder, as the fixture `data` gives it.
        folder: made where it is missing.
        per_class: up to 5,000 of the training images, 1,000 of the test images.
        train: take the training images.
        classes: how many classes, alphabetically from airplane.
        suffix: the format, as in ".jpg".
    """
    cifar10 = _cifar10()
    images, labels = cifar10.load(data, train)
    pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
    for index, name in enumerate(cifar10.CLASSES[:classes]):
        (folder / name).mkdir(parents=True)
        chosen = np.flatnonzero(labels.numpy() == index)[:per_class]
        for number, position in enumerate(chosen):
            Image.fromarray(pixels[position]).save(folder / name / f"{number:05}{suffix}")
    return folder


def _cifar10() -> ModuleType:
    """`src/cifar10.py`, which is no package of this project's own."""
    if "cifar10" not in sys.modules:
        spec = importlib.util.spec_from_file_location("cifar10", _SOURCE)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["cifar10"] = module
        spec.loader.exec_module(module)
    return sys.modules["cifar10"]
