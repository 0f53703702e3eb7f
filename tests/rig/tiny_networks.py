"""Networks that are made in milliseconds, as a user would write them, and small folders of images for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from toolkit.vision.data.image_directory import UNLABELED, ImageDirectory

CLASS = "nets:Tiny"
_NETS = """
import torch

from parts.blocks import block


class Tiny(torch.nn.Module):
    def __init__(self, num_classes, width=4):
        super().__init__()
        self.features = torch.nn.Sequential(block(3, width), block(width, width))
        self.out = torch.nn.Linear(width, num_classes)

    def forward(self, images):
        return self.out(self.features(images).mean((2, 3)))


class Fixed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.out = torch.nn.Linear(3, 7)

    def forward(self, images):
        return self.out(images.mean((2, 3)))


class Deaf(Fixed):
    def __init__(self, num_classes):
        super().__init__()


def not_a_class(num_classes):
    return "hello"
"""
_BLOCKS = """
import torch


def block(before, after):
    parts = torch.nn.Conv2d(before, after, 3, padding=1), torch.nn.BatchNorm2d(after), torch.nn.ReLU()
    return torch.nn.Sequential(*parts)
"""


def write_sources(folder: Path) -> Path:
    """A folder with the modules `nets` and `parts.blocks`, and with things that are no part of a network."""
    for name, text in (
        ("nets.py", _NETS),
        ("parts/__init__.py", ""),
        ("parts/blocks.py", _BLOCKS),
        ("notes.txt", "not Python"),
        (".hidden/secret.py", "raise RuntimeError('imported')"),
        ("venv/pyvenv.cfg", ""),
        ("venv/lib/site.py", ""),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def write_images(
    root: Path, labels: list[int], names: list[str], size: tuple[int, int] = (12, 10), known_sizes: bool = True
) -> ImageDirectory:
    """An ImageDirectory of noisy PNGs, (width, height) pixels each, brighter from class to class."""
    noise = np.random.default_rng(0)
    (root / "image").mkdir(parents=True)
    files = [f"image/{label}_{number}.png" for number, label in enumerate(labels)]
    for file, label in zip(files, labels):
        pixels = noise.integers(0, 60, (size[1], size[0], 3)) + 60 * (label % 4)
        Image.fromarray(pixels.astype(np.uint8)).save(root / file)
    sizes = np.full((len(files), 2), size, dtype=np.int32) if known_sizes else None
    labelled = any(label != UNLABELED for label in labels)
    categories = dict(enumerate(names)) if labelled else {}
    ids = [100 + number for number in range(len(files))]
    return ImageDirectory(root, files, np.array(labels, dtype=np.int64), categories, ids, sizes).save(root)
