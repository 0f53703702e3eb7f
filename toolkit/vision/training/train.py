"""Train PyTorch Model: a network, images to learn from and to be judged by, and a trained network in the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from toolkit.vision.data.image_directory import ImageDirectory
from toolkit.vision.data.transformation import load_transformation
from toolkit.vision.directory import MODEL, check_output
from toolkit.vision.errors import InvalidDatasetError
from toolkit.vision.modules import MODULES
from toolkit.vision.training import launch
from toolkit.vision.training.settings import (
    CACHE_LIMIT_GB,
    CHECKPOINT_SECONDS,
    TRAINING_SET,
    VALIDATION_SET,
    Options,
    Settings,
)

NAME = "train-pytorch-model"  # of this module
StrPath = str | os.PathLike[str]


def train_pytorch_model(
    untrained_model_path: StrPath,
    train_data_path: StrPath,
    valid_data_path: StrPath,
    trained_model_path: StrPath,
    epochs: int = 5,
    batch_size: int = 16,
    num_warmup_steps: int = 0,
    learning_rate: float = 0.001,
    random_seed: int = 1,
    patience: int = 3,
    print_freq: int = 10,
    transformation_path: StrPath | None = None,
    normalization: Literal["half", "imagenet"] = "half",
    label_smoothing: float = 0.0,
    keep: Literal["best", "last"] = "best",
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    channels_last: Literal["auto", "yes", "no"] = "auto",
    compile: bool = False,
    deterministic: bool = False,
    processes: int = 0,
    workers: int = 0,
    cache_path: StrPath | None = None,
    cache_limit_gb: float = CACHE_LIMIT_GB,
    checkpoint_path: StrPath | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> None:
    """Train a network on labelled images, judge it after every epoch, and save the weights of the best one.

    SGD with Nesterov momentum 0.9 and weight decay 1e-4 on the cross-entropy; the learning rate decays quadratically
    over the epochs.

    Args:
        untrained_model_path: the network, as DenseNet, ResNet or Network make it.
        train_data_path: a labelled ImageDirectory to learn from; its classes are the network's.
        valid_data_path: a labelled ImageDirectory, evaluated after each epoch; it has no class that the other has not.
        trained_model_path: the ModelDirectory that is written.
        epochs: passes over the training images, 1 or more.
        batch_size: images a step, 1 or more, and not more than there are.
        num_warmup_steps: epochs in which the learning rate rises, 0 or more and fewer than `epochs`.
        learning_rate: the highest learning rate, above 0; it is multiplied by the number of processes.
        random_seed: of the fresh weights, the order, the augmentation and dropout; the same seed gives the same result.
        patience: end when the validation loss has not fallen below its best for so many epochs, 1 or more.
        print_freq: steps between two lines of the log, 1 or more.
        transformation_path: a TransformationDirectory: its sizes for all images, its random operations anew in each
            epoch for the training images.
        normalization: half takes pixels to [-1, 1] as the designer does; imagenet uses ImageNet's mean and deviation.
        label_smoothing: share of each label that is spread over all classes, from 0 to 1.
        keep: save the weights of the best epoch (by top-1 validation accuracy), or those of the last one.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1 or mps.
        precision: of the arithmetic; auto is bfloat16 on GPUs that have it, else float32.
        channels_last: the memory format of images and weights; auto takes it for torchvision's networks, but for
            ResNets with few small images a step on a CPU.
        compile: send the network through torch.compile: a minute at first, then quicker steps on a GPU.
        deterministic: on a GPU, use only operations that give the same result each time; a CPU does anyway.
        processes: processes of this machine that share every step, `batch_size` images each; 0 for one a GPU. Under
            torchrun, which also starts them on several machines, this says nothing.
        workers: processes that decode images; 0 for one a core.
        cache_path: where decoded images are kept for later epochs and runs; default: in TOOLKIT_DATA, else ~/.cache.
        cache_limit_gb: gigabytes of decoded images to keep there; a larger set streams instead.
        checkpoint_path: the folder of the checkpoint, from which a training that was ended goes on when it is called
            again; default: beside the output. It is removed when the output is saved.
        checkpoint_seconds: the time between two checkpoints; 0 for none.

    Raises:
        InvalidModelDirectoryError: `untrained_model_path` is not a network that can be trained.
        NotLabeledDatasetError: a set has no labels.
        InvalidDatasetError: a set cannot be used: its classes, or the sizes of its images.
        LessThanOrEqualToError: there are fewer images than a step takes.
        GreaterThanOrEqualToError, NotInRangeValueError: a parameter is out of its range.
        ModuleOutOfMemoryError: a batch does not fit into memory; the message says how large a one does.
        TrainingDivergedError: the loss is no number any more.
    """
    asked = dict(locals())
    MODULES[NAME].check(asked)
    transforms = None if transformation_path is None else load_transformation(transformation_path)
    output = Path(os.path.abspath(trained_model_path))
    settings = Settings(
        epochs=epochs, batch_size=batch_size, num_warmup_steps=num_warmup_steps, learning_rate=learning_rate,
        random_seed=random_seed, patience=patience, label_smoothing=label_smoothing, normalization=normalization,
        precision=precision, keep=keep, channels_last=channels_last,
        operations=() if transforms is None else _frozen(transforms.deterministic),
        augmentation=() if transforms is None else _frozen(transforms.random),
    )  # fmt: skip
    options = Options(
        device=device, compile=compile, deterministic=deterministic, workers=workers,
        cache=None if cache_path is None else Path(cache_path), cache_limit_gb=cache_limit_gb,
        checkpoint=Path(checkpoint_path or output.with_name(f"{output.name}.checkpoint")),
        checkpoint_seconds=checkpoint_seconds, print_freq=print_freq, processes=processes,
    )  # fmt: skip
    check_output(output, MODEL)
    train = _labeled(ImageDirectory.load(train_data_path, TRAINING_SET), TRAINING_SET)
    valid = _labeled(ImageDirectory.load(valid_data_path, VALIDATION_SET), VALIDATION_SET)
    _require_several_classes(train)
    labels = _class_ids(train, valid)

    from toolkit.vision.training.job import TrainingJob  # it imports torch: what is wrong above is said at once

    job = TrainingJob.prepare(untrained_model_path, train, valid, labels, settings, options)
    if job.processes_to_start > 1:
        launch.run([NAME, *MODULES[NAME].arguments(asked)], job.processes_to_start)
    else:
        job.run(output)


def _frozen(operations: Sequence[Sequence[Any]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(operation) for operation in operations)


def _labeled(directory: ImageDirectory, dataset: str) -> ImageDirectory:
    """The images that have a label; there must be some."""
    directory.require_labels(dataset)
    labeled = directory.labeled
    return directory if len(labeled) == len(directory) else directory.select(labeled)


def _class_ids(train: ImageDirectory, valid: ImageDirectory) -> NDArray[np.int64]:
    """The validation labels in the class ids of the training set: each set has ids of its own, they share names.

    Raises:
        InvalidDatasetError: a class that the training set does not have.
    """
    numbers = {name: number for number, name in train.categories.items()}
    used = {int(number): valid.categories[int(number)] for number in np.unique(valid.labels)}
    unknown = sorted(set(used.values()) - set(numbers))
    if unknown:
        raise InvalidDatasetError(
            VALIDATION_SET,
            f"it has classes that the training dataset has not: {', '.join(unknown)} (there are {', '.join(numbers)})",
            "Split one labelled directory with Split Image Directory, or convert folders with the same names.",
        )
    table = np.zeros(max(used) + 1, dtype=np.int64)
    for number, name in used.items():
        table[number] = numbers[name]
    return table[valid.labels]


def _require_several_classes(train: ImageDirectory) -> None:
    if len(train.categories) < 2:
        only = ", ".join(train.categories.values())
        raise InvalidDatasetError(
            TRAINING_SET,
            f"it has one class ({only}), and there is nothing to tell apart",
            "Give a folder of images for each class.",
        )
