"""What a training was asked for, checked, and the learning rate that follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.vision.errors import GreaterThanOrEqualToError, NotInRangeValueError

TRAINING_SET, VALIDATION_SET = "Training dataset", "Validation dataset"  # what messages call them
CACHE_LIMIT_GB, CHECKPOINT_SECONDS = 20.0, 60.0
BASE_RATE, LAST_RATE = 1e-4, 1e-7  # where the learning rate starts to warm up, and where it ends
MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4
NORMALIZATIONS: dict[str, tuple[list[float], list[float]]] = {  # mean and standard deviation of pixels in [0, 1]
    "half": ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}


@dataclass(frozen=True)
class Settings:
    """Everything that decides the weights that come out, beside the data and the untrained network.

    Raises:
        GreaterThanOrEqualToError: a number is too small.
        NotInRangeValueError: a number is outside its range.
    """

    epochs: int = 5
    batch_size: int = 16
    num_warmup_steps: int = 0
    learning_rate: float = 0.001
    random_seed: int = 1
    patience: int = 3
    label_smoothing: float = 0.0
    normalization: str = "half"
    precision: str = "float32"
    channels_last: str = "yes"
    keep: str = "best"
    operations: tuple[tuple[Any, ...], ...] = ()  # on every image, as it is decoded
    augmentation: tuple[tuple[Any, ...], ...] = ()  # on training images, anew in each epoch

    def __post_init__(self) -> None:
        for name, value in (("Epochs", self.epochs), ("Batch size", self.batch_size), ("Patience", self.patience)):
            if value < 1:
                raise GreaterThanOrEqualToError(name, 1)
        if not (0 < self.learning_rate < math.inf):
            raise GreaterThanOrEqualToError("Learning rate", "double.Epsilon", "It must be a finite number above 0.")
        if not 0 <= self.num_warmup_steps < self.epochs:
            raise NotInRangeValueError(
                "Warmup step number",
                0,
                self.epochs - 1,
                "Warm-up epochs are a part of the epochs, and not all of them.",
            )
        if not 0 <= self.label_smoothing < 1:
            raise NotInRangeValueError("Label smoothing", 0, 1)

    def rate(self, epoch: int, world_size: int = 1) -> float:
        """The learning rate of an epoch, counted from 0: a linear warm-up, then a quadratic decay to LAST_RATE."""
        highest = self.learning_rate * world_size
        warm = self.num_warmup_steps
        if epoch < warm:
            return BASE_RATE + (highest - BASE_RATE) * epoch / warm
        left = 1 - (epoch - warm) / (self.epochs - warm)
        return (highest - LAST_RATE) * left**2 + LAST_RATE


@dataclass(frozen=True)
class Options:
    """How the training is done: nothing of it changes the result, beside rounding. See `train_pytorch_model`."""

    device: str
    compile: bool
    deterministic: bool
    workers: int
    cache: Path | None
    cache_limit_gb: float
    checkpoint: Path
    checkpoint_seconds: float
    print_freq: int
    processes: int = 0

    def __post_init__(self) -> None:
        if self.print_freq < 1:
            raise GreaterThanOrEqualToError("Print frequency", 1)
        for name, value in (
            ("Processes", self.processes), ("Workers", self.workers), ("Cache limit", self.cache_limit_gb),
            ("Checkpoint seconds", self.checkpoint_seconds),
        ):  # fmt: skip
            if not value >= 0:
                raise GreaterThanOrEqualToError(name, 0)
