"""Train `Net` on CIFAR-10 with SGD, draw its loss, and keep the weights in outputs/net.pt.

    python train.py                                         2 epochs, batches of 4, as in the tutorial
    python train.py --max-batches 500 --log-every 100       a part of an epoch

Logs `loss` every --log-every batches, `images_per_second` after each epoch, and at the end `accuracy` on the
test set.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from cifar10 import DataError, load
from model import Net
from toolkit import Run

CHUNK = 256  # batches gathered at a time: one indexing and one conversion for all of them


def main() -> None:
    """Train, test, save."""
    options = parse_arguments()
    run = Run.get_context()
    device = options.device
    torch.manual_seed(options.seed)
    set_threads(options.batch_size)
    try:
        train_set = load(options.data, train=True)
        test_set = load(options.data, train=False)
    except DataError as error:
        sys.exit(f"train.py: {error}")

    # Bytes, not floats, are what is kept: the training images are 154 MB on the device instead of 614.
    train_set = tuple(tensor.to(device) for tensor in train_set) if options.workers == 0 else train_set
    net = Net().to(device)
    train(net, train_set, options, run)
    print("Finished Training", flush=True)

    accuracy = evaluate(net, tuple(tensor.to(device) for tensor in test_set))
    run.log("accuracy", accuracy)
    print(f"accuracy on {len(test_set[1]):,} test images: {accuracy:.1%}", flush=True)
    Path("outputs").mkdir(exist_ok=True)
    torch.save({name: tensor.cpu() for name, tensor in net.state_dict().items()}, "outputs/net.pt")


def train(net: nn.Module, train_set: tuple[torch.Tensor, ...], options: argparse.Namespace, run: Run) -> None:
    """Train `net` in place for `options.epochs` epochs, or `options.max_batches` batches if that is less."""
    criterion = nn.CrossEntropyLoss()
    # One fused kernel for all ten parameters: at batches of 4, the step is mostly calls.
    optimizer = torch.optim.SGD(
        net.parameters(), lr=options.lr, momentum=options.momentum, fused=options.device.type in ("cpu", "cuda")
    )
    generator = torch.Generator().manual_seed(options.seed)
    left = options.max_batches or math.inf
    for epoch in range(1, options.epochs + 1):
        if left <= 0:
            break
        started, seen = time.perf_counter(), 0
        # Summed where it is computed: asking a GPU for the number after each batch would make it wait.
        running_loss = torch.zeros((), device=options.device)
        for batch, (inputs, labels) in enumerate(batches(train_set, options, generator), start=1):
            optimizer.zero_grad()
            loss = criterion(net(inputs), labels)
            loss.backward()
            optimizer.step()

            running_loss += loss.detach()
            seen += len(labels)
            if batch % options.log_every == 0:
                mean_loss = running_loss.item() / options.log_every
                run.log("loss", mean_loss)
                print(f"epoch={epoch}, batch={batch:5}: loss {mean_loss:.2f}", flush=True)
                running_loss.zero_()
            left -= 1
            if left <= 0:
                break
        running_loss.item()  # on a GPU, waits for the last batch, so that the time is the whole time
        run.log("images_per_second", seen / (time.perf_counter() - started))


def batches(
    data: tuple[torch.Tensor, ...], options: argparse.Namespace, generator: torch.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch in a new random order: float images in [0, 1], Bx3x32x32, and labels, on the device.

    The order depends on the seed alone: the same on every device, with worker processes or without.
    """
    images, labels = data
    order = torch.randperm(len(labels), generator=generator)
    if options.workers > 0:
        loader = DataLoader(
            TensorDataset(images, labels), options.batch_size, sampler=order.tolist(), num_workers=options.workers
        )
        for inputs, targets in loader:
            yield as_input(inputs.to(options.device)), targets.to(options.device)
        return
    # No DataLoader: it fetches image by image, which takes longer than the training step of four of them.
    for part in order.to(labels.device).split(options.batch_size * CHUNK):
        yield from zip(
            as_input(images[part]).split(options.batch_size), labels[part].split(options.batch_size), strict=True
        )


def as_input(images: torch.Tensor) -> torch.Tensor:
    """uint8 Nx3x32x32 → float32 in [0, 1], the numbers that torchvision's ToTensor gives."""
    return images.float() / 255


@torch.no_grad()
def evaluate(net: nn.Module, test_set: tuple[torch.Tensor, ...]) -> float:
    """The share of images whose highest logit is the label's, 0 to 1."""
    net.eval()
    images, labels = test_set
    hits = sum(
        (net(as_input(part)).argmax(1) == truth).sum().item()
        for part, truth in zip(images.split(1000), labels.split(1000), strict=True)
    )
    return hits / len(labels)


def set_threads(batch_size: int) -> None:
    """One thread for small batches on a CPU, unless OMP_NUM_THREADS says otherwise.

    The work of a batch of 4 is less than the cost of sharing it among the cores, and grows with their number.
    """
    if batch_size <= 8 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options, checked; exits with a usage message where one is wrong."""
    parser = argparse.ArgumentParser(
        description="Train a small network on CIFAR-10.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--epochs", type=count, default=2, help="passes over the training images")
    parser.add_argument("--batch-size", type=count, default=4, help="images a step")
    parser.add_argument("--lr", type=positive, default=0.001, help="learning rate")
    parser.add_argument("--momentum", type=fraction, default=0.9, help="momentum of SGD, 0 for none")
    parser.add_argument("--log-every", type=count, default=2000, help="batches between two values of `loss`")
    parser.add_argument(
        "--max-batches", type=count_or_zero, default=0, help="stop after so many batches in all; 0: do not"
    )
    parser.add_argument("--device", type=training_device, default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--data", help="data folder (default: TOOLKIT_DATA, else ./data)")
    parser.add_argument("--seed", type=count_or_zero, default=0, help="of the weights and of the order")
    parser.add_argument(
        "--workers",
        type=count_or_zero,
        default=0,
        help="processes that load images; 0, from memory in this one, is the fastest here",
    )
    return parser.parse_args(arguments)


def count(text: str) -> int:
    """A whole number from 1."""
    return _number(text, int, lambda value: value >= 1, "a whole number, 1 or more")


def count_or_zero(text: str) -> int:
    """A whole number from 0."""
    return _number(text, int, lambda value: 0 <= value < 2**63, "a whole number, 0 or more")


def positive(text: str) -> float:
    """A finite number above 0."""
    return _number(text, float, lambda value: 0 < value < math.inf, "a number above 0")


def fraction(text: str) -> float:
    """A number from 0 up to, not including, 1."""
    return _number(text, float, lambda value: 0 <= value < 1, "a number from 0 up to, not including, 1")


def _number(text, kind, is_valid, what):
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not is_valid(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return value


def training_device(text: str) -> torch.device:
    """The device to train on; `auto` is a GPU where there is one."""
    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if text == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if has[name]))
    name, _, index = text.partition(":")
    if name not in has or (index and (name != "cuda" or not index.isdigit())):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of auto, cpu, cuda, cuda:1, mps")
    if not has[name] or (index and int(index) >= torch.cuda.device_count()):
        raise argparse.ArgumentTypeError(
            f"torch {torch.__version__} finds no {text} on this machine; use "
            "auto or cpu, or a compute target with a GPU"
        )
    return torch.device(text)


if __name__ == "__main__":
    main()
