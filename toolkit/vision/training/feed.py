"""Batches of decoded images as tensors on the device, normalized and augmented there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.vision.training.augmentation import Augmentation
from toolkit.vision.training.order import Sampling, step_seed
from toolkit.vision.training.pixels import Pixels

_SHARE_OF_GPU = 0.3  # of its free memory that a set may take to live there


@dataclass(frozen=True)
class Batch:
    """B images of a step; fewer where some cannot be read.

    Attributes:
        images: float32 Bx3xHxW, normalized.
        labels: their classes, int64 B.
        positions: where they stand in the set.
    """

    images: Tensor
    labels: Tensor
    positions: NDArray[np.int64]


@dataclass
class Normalization:
    """What is done to pixel values in [0, 1]: minus `mean`, divided by `std`, three numbers each."""

    mean: list[float]
    std: list[float]


class Feed:
    """The batches of a set, an epoch after the other.

    Args:
        labels: int64, one an image.
        channels_last: the memory format of the images; the pixels are kept that way already.
        augmentation: what is drawn anew in each epoch; None leaves the images as they are.
        seed: of the augmentation.
    """

    def __init__(
        self,
        pixels: Pixels,
        labels: Tensor,
        sampling: Sampling,
        normalization: Normalization,
        device: torch.device,
        *,
        channels_last: bool = True,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.sampling = sampling
        self._pixels = pixels
        self._labels = labels
        self._device = device
        self._channels_last = channels_last
        self._augmentation = augmentation
        self._seed = seed
        self._resident: tuple[Tensor, Tensor] | None = None
        self._mean = torch.tensor(normalization.mean, device=device).reshape(1, 3, 1, 1)
        self._std = torch.tensor(normalization.std, device=device).reshape(1, 3, 1, 1)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (from 0), from step `start` on."""
        self._move_to_gpu()
        for step, images in enumerate(self.sampling.batches(epoch, start), start):
            places, slots = self._pixels.wait(images)
            pixels, labels = self._gather(images[places], slots)
            yield Batch(self._prepare(pixels, places, epoch, step), labels, images[places])

    def _gather(self, images: NDArray[np.int64], slots: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """uint8 BxHxWx3 and the labels, on the device."""
        if self._resident is not None:
            chosen = torch.from_numpy(images).to(self._device, non_blocking=True)
            return self._resident[0][chosen], self._resident[1][chosen]
        pixels, labels = torch.from_numpy(self._pixels.array[slots]), self._labels[torch.from_numpy(images)]
        if self._device.type == "cuda":  # page-locked, so that the copy runs beside the step before
            pixels, labels = pixels.pin_memory(), labels.pin_memory()
        return pixels.to(self._device, non_blocking=True), labels.to(self._device, non_blocking=True)

    def _prepare(self, pixels: Tensor, places: NDArray[np.int64], epoch: int, step: int) -> Tensor:
        # As ToTensor and Normalize compute it, to the last bit: some networks make much of little differences.
        images = pixels.permute(0, 3, 1, 2).float().div_(255)
        if self._augmentation:
            first = self.sampling.rank * self.sampling.batch_size
            images = self._augmentation(
                images,
                step_seed(self._seed, epoch, step),
                torch.from_numpy(places + first),
                self.sampling.batch_size * self.sampling.world_size,
            )
        images = images.sub_(self._mean).div_(self._std)
        memory = torch.channels_last if self._channels_last else torch.contiguous_format
        return images.contiguous(memory_format=memory)

    def _move_to_gpu(self) -> None:
        """Let a set that is decoded and small enough live on the GPU from now on."""
        if self._resident is not None or self._device.type != "cuda" or not self._pixels.whole:
            return
        free, _ = torch.cuda.mem_get_info(self._device)
        if self._pixels.array.nbytes <= free * _SHARE_OF_GPU:
            self._resident = (
                torch.from_numpy(self._pixels.array).to(self._device),
                self._labels.to(self._device),
            )
