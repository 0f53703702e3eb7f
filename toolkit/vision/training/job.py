"""A training from what was read and checked to the ModelDirectory: the network, the decoders, the loop, the result."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from toolkit.vision.data.image_directory import ImageDirectory
from toolkit.vision.data.images import DAMAGED
from toolkit.vision.directory import MODEL, new_directory
from toolkit.vision.errors import InvalidDatasetError, LessThanOrEqualToError
from toolkit.vision.networks.model_directory import OUTPUT_PATH, Untrained, load_untrained, save_trained
from toolkit.vision.networks.rebuild import TORCHVISION
from toolkit.vision.training import distributed
from toolkit.vision.training.augmentation import Augmentation
from toolkit.vision.training.checkpoint import Checkpoint, Found, State
from toolkit.vision.training.decoding import cores
from toolkit.vision.training.device import choose_device
from toolkit.vision.training.distributed import Processes
from toolkit.vision.training.feed import Feed, Normalization
from toolkit.vision.training.launch import under_torchrun
from toolkit.vision.training.loop import Training
from toolkit.vision.training.order import Sampling
from toolkit.vision.training.pixels import Pixels
from toolkit.vision.training.report import Report
from toolkit.vision.training.settings import NORMALIZATIONS, TRAINING_SET, VALIDATION_SET, Options, Settings

_VALIDATION_BATCH = 64  # at least: no gradients, so more fits
_TORCH_SEEDS = 2**64
_FEW_PIXELS = 2**15
_NAMED = 10  # images that cannot be read, in a message


@dataclass(frozen=True)
class TrainingJob:
    """All that a training starts from. `valid_labels` are in the class ids of the training set."""

    untrained: Untrained
    train: ImageDirectory
    valid: ImageDirectory
    valid_labels: NDArray[np.int64]
    settings: Settings
    options: Options
    device: torch.device
    processes: Processes

    @classmethod
    def prepare(
        cls,
        untrained_model_path: str | os.PathLike[str],
        train: ImageDirectory,
        valid: ImageDirectory,
        valid_labels: NDArray[np.int64],
        settings: Settings,
        options: Options,
    ) -> TrainingJob:
        """Check what needs torch, and settle what was left to it; errors as in `train_pytorch_model`."""
        processes = distributed.from_environment()
        device = choose_device(options.device)
        untrained = load_untrained(untrained_model_path)
        settled = replace(settings, precision=_precision(settings.precision, device))
        _check_counts(train, settings, processes)
        return cls(untrained, train, valid, valid_labels, settled, options, device, processes)

    @property
    def processes_to_start(self) -> int:
        """How many processes should do this, where this one is not one of them already."""
        if under_torchrun():
            return 1
        gpus = torch.cuda.device_count() if self.options.device in ("auto", "cuda") else 1
        return self.options.processes or max(1, gpus)

    def run(self, output: Path) -> None:
        """Train, and write the ModelDirectory."""
        with distributed.joined(self.processes, self.device):
            self._run(output)

    def _run(self, output: Path) -> None:
        settings, options, processes = self.settings, self.options, self.processes
        _prepare_torch(settings, options, self.device)
        torch.manual_seed(settings.random_seed % _TORCH_SEEDS)
        network = self.untrained.build(len(self.train.class_names))
        folder = options.checkpoint if options.checkpoint_seconds > 0 else None
        checkpoint = Checkpoint(folder, self._identity(network), options.checkpoint_seconds)
        found = processes.from_first(checkpoint.load)
        with self._pixels(found) as (train, valid):
            pixels = settings.batch_size * train.height * train.width
            last = _channels_last(settings.channels_last, self.untrained, self.device, pixels)
            memory = torch.channels_last if last else torch.contiguous_format
            network = network.to(self.device, memory_format=memory)  # type: ignore[call-overload]
            feed = self._feed(train, self.train.labels, self._sampling, last, Augmentation(settings.augmentation))
            judge = self._feed(valid, self.valid_labels, self._validation, last, None)
            report = Report(settings.epochs, feed.sampling.steps, options.print_freq, processes.first)
            training = Training(
                network, feed, judge, len(self.train.class_names), settings, self.device, processes, checkpoint, report,
                options.compile, found,
            )  # fmt: skip
            state = training.run()
            size, notes = (valid.height, valid.width), (train.notes(), valid.notes())
        if processes.first:
            unreadable = self._say_unreadable(report, *notes)
            try:
                self._save(output, network, size, state, unreadable)
            except BaseException:
                training.save_checkpoint()  # what was trained is not lost: the same command saves it again
                raise
            report.keep(output, OUTPUT_PATH)
            checkpoint.remove()

    # -- the data -----------------------------------------------------------------------------------------------

    @property
    def _sampling(self) -> Sampling:
        settings, processes = self.settings, self.processes
        return Sampling(
            len(self.train), settings.batch_size, settings.random_seed, processes.rank, processes.world_size
        )

    @property
    def _validation(self) -> Sampling:
        batch_size = max(self.settings.batch_size, _VALIDATION_BATCH)
        return Sampling(len(self.valid), batch_size, None, self.processes.rank, self.processes.world_size)

    @property
    def _operations(self) -> list[list[Any]]:
        return [list(operation) for operation in self.settings.operations]

    @contextmanager
    def _pixels(self, found: Found | None) -> Iterator[tuple[Pixels, Pixels]]:
        """The decoded images of both sets. Decoding starts here, in the order in which they will be needed."""
        options = self.options
        workers = max(1, cores() // self.processes.local_world_size)
        sampling, start = self._sampling, (0, 0) if found is None else (found.state.epoch, found.state.step)
        more: dict[str, Any] = {
            "operations": self._operations, "workers": options.workers or min(16, workers),
            "cache": options.cache, "limit_gb": options.cache_limit_gb,
        }  # fmt: skip
        with (
            Pixels(self.train, TRAINING_SET, sampling, epoch=start[0], step=start[1], **more) as train,
            Pixels(self.valid, VALIDATION_SET, self._validation, **more) as valid,
        ):
            if (train.height, train.width) != (valid.height, valid.width) and not self.settings.augmentation:
                sizes = f"{valid.width}x{valid.height} pixels, those for training {train.width}x{train.height}"
                raise InvalidDatasetError(
                    VALIDATION_SET, f"its images have {sizes}", "Make all one size with Apply Image Transformation."
                )
            yield train, valid

    def _feed(
        self,
        pixels: Pixels,
        labels: NDArray[np.int64],
        sampling: Sampling,
        channels_last: bool,
        augmentation: Augmentation | None,
    ) -> Feed:
        settings = self.settings
        normalization = Normalization(*NORMALIZATIONS[settings.normalization])
        return Feed(
            pixels, torch.from_numpy(labels), sampling, normalization, self.device,
            channels_last=channels_last, augmentation=augmentation, seed=settings.random_seed,
        )  # fmt: skip

    # -- before and after ---------------------------------------------------------------------------------------

    def _identity(self, network: nn.Module) -> dict[str, str]:
        """What the result depends on: a checkpoint of something else is not gone on from."""
        weights = hashlib.sha256()
        for name, tensor in network.state_dict().items():
            weights.update(name.encode() + tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        images = hashlib.sha256()
        for one, labels in ((self.train, self.train.labels), (self.valid, self.valid_labels)):
            images.update("\0".join(one.files).encode("utf-8", "surrogateescape") + labels.tobytes())
        return {
            **{name: str(value) for name, value in vars(self.settings).items()},
            "processes": str(self.processes.world_size),
            "untrained model": weights.hexdigest()[:16],
            "images": images.hexdigest()[:16],
        }

    def _say_unreadable(self, report: Report, *notes: dict[int, str]) -> dict[str, int]:
        """Count and name the images that are unreadable or damaged."""
        counts: dict[str, int] = {}
        for what, directory, found in zip(("training", "validation"), (self.train, self.valid), notes):
            for kind, usable in (("unreadable", False), ("damaged", True)):
                named = {image: reason for image, reason in found.items() if (reason == DAMAGED) == usable}
                if not named:
                    continue
                counts[f"{kind} {what} images"] = len(named)
                report.number(f"{kind.capitalize()} {what} images", len(named))
                what_of_them = "used as far as they go" if usable else "left out"
                report.say(f"{len(named)} {what} images are {kind}, and were {what_of_them}:")
                for image, reason in sorted(named.items())[:_NAMED]:
                    report.say(f"    {directory.path(image)}: {reason}")
                if len(named) > _NAMED:
                    report.say(f"    … and {len(named) - _NAMED} more")
        return counts

    def _save(
        self, output: Path, network: nn.Module, size: tuple[int, int], state: State, unreadable: dict[str, int]
    ) -> None:
        mean, std = NORMALIZATIONS[self.settings.normalization]
        kept = state.best_epoch if self.settings.keep == "best" else state.epoch - 1
        metadata = {
            "transforms": self._operations,
            "epochs": state.epoch,
            "kept_epoch": kept + 1,
            "metrics": state.rows[kept],
            "augmentation": [list(operation) for operation in self.settings.augmentation],
            "settings": {
                name: value for name, value in vars(self.settings).items() if name not in ("operations", "augmentation")
            },
            **({"images": unreadable} if unreadable else {}),
        }
        with new_directory(output, MODEL) as root:
            save_trained(
                root, network, self.untrained.spec, self.train.class_names,
                mean=mean, std=std, image_size=size, metadata=metadata,
            )  # fmt: skip


def _check_counts(train: ImageDirectory, settings: Settings, processes: Processes) -> None:
    share = len(train) // processes.world_size
    if settings.batch_size > share:
        hint = f"Each of the {processes.world_size} processes has its share." if processes.world_size > 1 else ""
        raise LessThanOrEqualToError("Batch size", settings.batch_size, "train data count", share, hint)


# -- torch --------------------------------------------------------------------------------------------------------


def _precision(asked: str, device: torch.device) -> str:
    if asked != "auto":
        return asked
    return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"


def _channels_last(asked: str, untrained: Untrained, device: torch.device, pixels: int) -> bool:
    """Whether images and weights are in the channels-last format.

    A user's own network is left as it is: `view` raises on images in that format. On a CPU a ResNet's wide layers are
    quicker without it where there is little else to compute (measured: `make bench ONLY=vision`).

    Args:
        pixels: of the images of a step.
    """
    if asked != "auto":
        return asked == "yes"
    name = untrained.spec.class_name
    small = device.type == "cpu" and pixels <= _FEW_PIXELS and ("resnet" in name or "resnext" in name)
    return untrained.spec.module == TORCHVISION and not small


def _prepare_torch(settings: Settings, options: Options, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = not options.deterministic
        torch.set_float32_matmul_precision("highest" if settings.precision == "float32" else "high")
    if options.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
        torch.use_deterministic_algorithms(True)
