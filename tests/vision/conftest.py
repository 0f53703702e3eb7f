"""Real images as ImageDirectories, and a small network of the tests' own."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.rig import cifar_folders
from toolkit.vision.data.image_directory import ImageDirectory

NETWORK = """
from torch import nn

class Tiny(nn.Module):
    def __init__(self, num_classes, dropout=0.0):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Flatten())
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(8 * 7 * 7, num_classes)

    def forward(self, images):
        return self.head(self.drop(self.body(images)))
"""


def as_image_directory(folder: Path, root: Path) -> ImageDirectory:
    """Class folders as an ImageDirectory, written by hand: these tests are not those of the conversion."""
    (root / "image").mkdir(parents=True)
    names = sorted(path.name for path in folder.iterdir())
    files, labels, sizes = [], [], []
    for label, name in enumerate(names):
        for number, path in enumerate(sorted((folder / name).iterdir())):
            file = f"image/{label}_{number}{path.suffix}"
            (root / file).write_bytes(path.read_bytes())
            files.append(file)
            labels.append(label)
            with Image.open(path) as image:
                sizes.append(image.size)
    directory = ImageDirectory(
        root, files, np.array(labels, np.int64), dict(enumerate(names)), list(range(len(files))),
        np.array(sizes, np.int32),
    )  # fmt: skip
    return directory.save(root)


@pytest.fixture(scope="session")
def cifar(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """ImageDirectories of CIFAR-10's first four classes: 40 training and 20 test images of each. Not to be changed."""
    root = tmp_path_factory.mktemp("cifar")
    for name, count, train in (("train", 40, True), ("valid", 20, False)):
        folder = cifar_folders.write(data, root / f"{name}-folders", count, train=train, classes=4)
        as_image_directory(folder, root / name)
    return root / "train", root / "valid"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """An UntrainedModelDirectory of `Tiny`, with dropout."""
    from toolkit.vision.networks.untrained import network

    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "nets.py").write_text(textwrap.dedent(NETWORK))
    network(tmp_path / "tiny", "nets:Tiny", source_directory=sources, init_params='{"dropout": 0.2}')
    return tmp_path / "tiny"
