"""What the peers share: the images, the order of the batches, the network, the optimizer, and the clock."""

import json
import sys
import time
from pathlib import Path

sys.path += [str(Path(__file__).parents[2] / "core" / "workers"), str(Path(__file__).parents[1] / "network")]

import torch
import torchvision
from torch.utils.data import DataLoader
from torchvision import transforms

HALF = [0.5, 0.5, 0.5]
WORKERS = 2  # processes that decode, one a core here
RATE, MOMENTUM, WEIGHT_DECAY = 0.001, 0.9, 1e-4


def network(name):
    """A fresh one, the same each time."""
    torch.manual_seed(1)
    if name == "small":
        from small import Small

        return Small(10)
    return torchvision.models.get_model(name, num_classes=10)


def optimizer(parameters, rate=RATE):
    return torch.optim.SGD(parameters, rate, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True)


def folder(images):
    """The class folders of an image directory of the benchmark's."""
    return Path(images) / "image"


def dataset(images, augmentation=()):
    look = [*augmentation, transforms.ToTensor(), transforms.Normalize(HALF, HALF)]
    return torchvision.datasets.ImageFolder(folder(images), transforms.Compose(look))


def loader(images, batch, order, augmentation=(), epoch=0):
    """As a tutorial writes it; the order is that of ours."""
    positions = json.loads(Path(order).read_text())[epoch]
    return DataLoader(dataset(images, augmentation), batch, sampler=positions, num_workers=WORKERS, drop_last=True)


class Clock:
    """The time at the start of an epoch and after each step, read only where the rate is taken.

    Args:
        steps: of the epoch.
        cold: take the whole epoch, from before the first batch was asked for. Otherwise neither the first steps count,
            before which the loader's processes start, nor the last, while which they decode nothing any more.
    """

    def __init__(self, steps, batch, device, cold):
        self.first, self.last = (0, steps) if cold else (2, steps - min(2 * WORKERS, steps // 4))
        self.images = (self.last - self.first) * batch
        self.device, self.count, self.seen = device, 0, {}
        self.read()

    def read(self):
        if self.count in (self.first, self.last):
            if self.device == "cuda":
                torch.cuda.synchronize()
            self.seen[self.count] = time.perf_counter()

    def step(self):
        self.count += 1
        self.read()

    @property
    def rate(self):
        """Images a second."""
        return self.images / (self.seen[self.last] - self.seen[self.first])
