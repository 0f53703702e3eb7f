"""Writes real CIFAR-10 images as an ImageDirectory whose images lie in class folders, which all peers read too."""

import json
import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "core" / "workers"))

import numpy as np
from PIL import Image
from serve import serve

import cifar10
from toolkit.vision.data.image_directory import ImageDirectory
from toolkit.vision.training.order import Sampling


def write(root, count, size, train=True):
    """The first `count` images: PNGs of 32 pixels; larger ones are enlarged (bicubic), and JPEGs of quality 90.

    Returns:
        How many there are.
    """
    root = Path(root)
    images, labels = cifar10.load(train=train)
    pixels = images[:count].permute(0, 2, 3, 1).contiguous().numpy()
    found = []
    for name in cifar10.CLASSES:
        (root / "image" / name).mkdir(parents=True)
    for number, (one, label) in enumerate(zip(pixels, labels[:count].tolist())):
        image, suffix = Image.fromarray(one), ".png"
        if size != 32:
            image, suffix = image.resize((size, size), Image.Resampling.BICUBIC), ".jpg"
        file = f"image/{cifar10.CLASSES[label]}/{number:05}{suffix}"
        image.save(root / file, **({"quality": 90} if suffix == ".jpg" else {}))
        found.append((label, file))
    found.sort()  # as an ImageFolder lists them, so that a position is the same image in both
    ImageDirectory(
        root, [file for _, file in found], np.array([label for label, _ in found], np.int64),
        dict(enumerate(cifar10.CLASSES)), list(range(len(found))), np.full((len(found), 2), size, np.int32),
    ).save(root)  # fmt: skip
    return len(found)


def write_links(root, source, count):
    """An ImageDirectory of `count` hard links to the images of the ImageDirectory `source`, as many of each class."""
    root, known = Path(root), ImageDirectory.load(source, "images")
    links = count // len(known)
    for number in range(len(known)):
        target = str(root / known.files[number].removesuffix(".png"))
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        for copy in range(links):
            os.link(known.path(number), f"{target}-{copy:06}.png")
    files = [f"{file.removesuffix('.png')}-{copy:06}.png" for file in known.files for copy in range(links)]
    labels, sizes = np.repeat(known.labels, links), np.repeat(known.sizes, links, axis=0)
    ImageDirectory(root, files, labels, known.categories, list(range(len(files))), sizes).save(root)
    return len(files)


def write_order(path, count, batch, epochs=1, seed=1):
    """The positions of the images in the order of ours, a list an epoch, for the peers' loaders."""
    sampling = Sampling(count, batch, seed)
    orders = [[int(one) for part in sampling.batches(epoch) for one in part] for epoch in range(epochs)]
    Path(path).write_text(json.dumps(orders))
    return len(orders)


def measure(what, **request):
    return {"images": write, "links": write_links, "order": write_order}[what](**request)


serve(measure)
