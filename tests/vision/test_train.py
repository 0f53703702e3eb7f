"""Train PyTorch Model on real images: the result, the same result again, and what is said of bad input."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch, from the extra `train`")

from tests.conftest import REPOSITORY, wait_until  # noqa: E402
from tests.vision.conftest import NETWORK, as_image_directory  # noqa: E402
from toolkit import UserErrorException  # noqa: E402
from toolkit.vision import modules  # noqa: E402
from toolkit.vision.data.image_directory import ImageDirectory  # noqa: E402
from toolkit.vision.errors import (  # noqa: E402
    GreaterThanOrEqualToError,
    InvalidDatasetError,
    InvalidModelDirectoryError,
    LessThanOrEqualToError,
    ModuleOutOfMemoryError,
    NotInRangeValueError,
    NotLabeledDatasetError,
    TrainingDivergedError,
)
from toolkit.vision.networks.model_directory import load_trained  # noqa: E402
from toolkit.vision.networks.untrained import network  # noqa: E402
from toolkit.vision.training.order import Sampling  # noqa: E402
from toolkit.vision.training.train import train_pytorch_model  # noqa: E402

FLAT = """
from torch import nn

class Flat(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.convolution = nn.Conv2d(3, num_classes, 1)

    def forward(self, images):
        return self.convolution(images)
"""
BIG = """
import torch
from torch import nn

class Big(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, images):
        torch.empty(len(images) * 250_000_000)  # 1 GB an image
        return self.head(images.mean((2, 3)))
"""

FEW: dict[str, Any] = {"epochs": 2, "batch_size": 32, "learning_rate": 0.05, "print_freq": 2}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOOLKIT_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "decoded"


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_trained(path).module.state_dict()


def same(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def close(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    return all(torch.allclose(one[name], other[name], rtol=1e-4, atol=1e-5) for name in one)


# -- what comes out -----------------------------------------------------------------------------------------------


def test_a_network_learns_and_says_so(
    cifar: tuple[Path, Path], tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_pytorch_model(tiny, *cifar, tmp_path / "model", epochs=12, batch_size=16, learning_rate=0.02, patience=12)
    trained = load_trained(tmp_path / "model")
    assert trained.class_names == ["airplane", "automobile", "bird", "cat"]
    assert trained.image_size == (32, 32) and trained.mean == (0.5, 0.5, 0.5)
    assert trained.metadata["metrics"]["top1_acc"] > 0.35, "four classes: chance is 0.25"
    printed = capsys.readouterr().out
    assert "Epoch: [1/12]\tIter: [10/10]\tAvg_Time_Batch/Avg_Time_Epoch(s): " in printed
    assert printed.count("\nEpoch 12,train_ips ") == 1
    assert not (tmp_path / "model.checkpoint").exists()


def test_the_loss_is_that_of_a_plain_torchvision_loop(cifar: tuple[Path, Path], tmp_path: Path) -> None:
    """The same weights, the same batches: ToTensor, Normalize, default collation, an unfused SGD."""
    from PIL import Image
    from torchvision import models, transforms

    network(tmp_path / "net", "resnet18")
    values = {"epochs": 1, "batch_size": 32, "learning_rate": 0.002, "keep": "last", "channels_last": "no"}
    train_pytorch_model(tmp_path / "net", *cifar, tmp_path / "model", **values)

    torch.manual_seed(1)
    plain = models.resnet18(num_classes=4)
    look = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])
    directory = ImageDirectory.load(cifar[0], "Training dataset")
    images = torch.stack([look(Image.open(directory.path(one)).convert("RGB")) for one in range(len(directory))])
    labels = torch.from_numpy(directory.labels)
    losses = []
    optimizer = torch.optim.SGD(plain.parameters(), 0.002, 0.9, weight_decay=1e-4, nesterov=True)
    for batch in Sampling(len(directory), 32, 1).batches(0):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(plain(images[batch]), labels[batch])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    trained = load_trained(tmp_path / "model")
    assert trained.metadata["metrics"]["train_loss"] == pytest.approx(np.mean(losses), rel=1e-6)
    for name, tensor in plain.eval().state_dict().items():
        assert torch.allclose(trained.module.state_dict()[name], tensor, rtol=1e-4, atol=1e-6), name


def test_the_best_epoch_is_kept_and_patience_counts_from_the_lowest_loss(
    cifar: tuple[Path, Path], tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_pytorch_model(tiny, *cifar, tmp_path / "m", epochs=40, batch_size=8, learning_rate=0.1, patience=2)
    printed = capsys.readouterr().out
    epochs = [
        dict(part.rsplit(" ", 1) for part in line.split(",")[1:])
        for line in printed.splitlines()
        if line.startswith("Epoch ")
    ]
    loss = [float(one["valid_loss"]) for one in epochs]
    accuracy = [float(one["top1 acc"]) for one in epochs]
    assert "Early stopped." in printed and len(epochs) < 40
    assert len(epochs) - 1 - int(np.argmin(loss)) == 2, "two epochs after the lowest loss"
    kept = load_trained(tmp_path / "m").metadata
    assert accuracy[kept["kept_epoch"] - 1] == max(accuracy)
    assert kept["kept_epoch"] < len(epochs)


def test_ids_of_the_validation_set_follow_the_training_schema(
    cifar: tuple[Path, Path], data: Path, tiny: Path, tmp_path: Path
) -> None:
    """A validation set of one class has an id 0 of its own, and it is not the training set's class 0."""
    directory = ImageDirectory.load(cifar[1], "Validation dataset")
    folder = tmp_path / "folders" / "cat"
    folder.mkdir(parents=True)
    for position in np.flatnonzero(directory.labels == 3):
        shutil.copy(directory.path(int(position)), folder)
    as_image_directory(folder.parent, tmp_path / "cats")
    (one,) = ImageDirectory.load(tmp_path / "cats", "Validation dataset").categories.items()
    assert one == (0, "cat")
    for valid in (cifar[1], tmp_path / "cats"):
        train_pytorch_model(tiny, cifar[0], valid, tmp_path / f"m-{valid.name}", **FEW, keep="last")
    from toolkit.vision.scoring.score import score_image_model

    score_image_model(tmp_path / "m-cats", tmp_path / "cats", tmp_path / "scored")
    from toolkit.vision.scoring.dataframe_directory import Frame

    scored = Frame.load(tmp_path / "scored", "Scored dataset").table
    hits = np.mean([label == "cat" for label in scored["Scored Labels"].to_pylist()])
    assert load_trained(tmp_path / "m-cats").metadata["metrics"]["top1_acc"] == pytest.approx(hits)


# -- the same result ----------------------------------------------------------------------------------------------


def test_one_seed_is_one_result_to_the_last_bit_and_another_is_another(
    cifar: tuple[Path, Path], tmp_path: Path
) -> None:
    network(tmp_path / "net", "resnet18")
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        torch.manual_seed(int.from_bytes(os.urandom(4), "big"))  # what came before does not matter
        train_pytorch_model(tmp_path / "net", *cifar, tmp_path / name, **FEW, random_seed=seed)
    assert same(tmp_path / "a", tmp_path / "b")
    assert not close(tmp_path / "a", tmp_path / "c")


def test_a_set_that_streams_gives_the_same_result(
    cifar: tuple[Path, Path], tiny: Path, tmp_path: Path, cache: Path
) -> None:
    train_pytorch_model(tiny, *cifar, tmp_path / "kept", **FEW)
    assert len(list(cache.iterdir())) == 2
    shutil.rmtree(cache)
    train_pytorch_model(tiny, *cifar, tmp_path / "streamed", **FEW, cache_limit_gb=0)
    assert not cache.exists()
    assert same(tmp_path / "kept", tmp_path / "streamed")


def test_decoded_images_serve_the_next_training_until_a_file_changes(
    cifar: tuple[Path, Path], tiny: Path, tmp_path: Path, cache: Path
) -> None:
    train, valid = tmp_path / "train", tmp_path / "valid"
    for copy, original in ((train, cifar[0]), (valid, cifar[1])):
        shutil.copytree(original, copy)
    train_pytorch_model(tiny, train, valid, tmp_path / "a", **FEW)
    made = {folder: (folder / "pixels").stat().st_mtime_ns for folder in cache.iterdir()}
    train_pytorch_model(tiny, train, valid, tmp_path / "b", **FEW)
    assert {folder: (folder / "pixels").stat().st_mtime_ns for folder in cache.iterdir()} == made
    changed = next((train / "image").iterdir())
    shutil.copy(next(path for path in (valid / "image").iterdir()), changed)
    train_pytorch_model(tiny, train, valid, tmp_path / "c", **FEW)
    assert len(list(cache.iterdir())) == 3
    assert same(tmp_path / "a", tmp_path / "b") and not same(tmp_path / "a", tmp_path / "c")


def command(*arguments: object, **values: object) -> list[str]:
    words = modules.MODULES["train-pytorch-model"].arguments(
        dict(
            zip(("untrained_model_path", "train_data_path", "valid_data_path", "trained_model_path"), arguments),
            **values,
        )
    )
    return [sys.executable, "-m", "toolkit.vision", "train-pytorch-model", *map(str, words)]


@contextmanager
def started(words: list[str], **more: Any) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True, **more) as process:
        try:
            yield process
        finally:
            process.kill()


def finished(words: list[str]) -> tuple[int, str]:
    """The exit code of a command, and all that it printed."""
    with started(words) as process:
        printed = process.communicate(timeout=120)[0]
        return process.returncode, printed


LONG: dict[str, Any] = {
    "epochs": 15,
    "patience": 99,
    "batch_size": 4,
    "learning_rate": 0.01,
    "print_freq": 10,
    "checkpoint_seconds": 0.01,
}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("cache_limit_gb", [20, 0])
def test_a_training_that_was_ended_in_an_epoch_goes_on_to_the_same_weights(
    cifar: tuple[Path, Path], tiny: Path, tmp_path: Path, number: int, cache_limit_gb: float
) -> None:
    values = {**LONG, "cache_limit_gb": cache_limit_gb}
    train_pytorch_model(tiny, *cifar, tmp_path / "whole", **values)
    words = command(tiny, *cifar, tmp_path / "cut", **values)
    with started(words) as process:
        assert process.stdout is not None
        for line in process.stdout:  # in the middle of the second epoch
            if "Epoch: [2/15]\tIter: [20/40]" in line:
                break
        process.send_signal(number)
        rest = process.communicate(timeout=60)[0]
    assert process.returncode in (-number, 128 + number), rest
    assert not (tmp_path / "cut").exists() and (tmp_path / "cut.checkpoint").is_dir()

    code, printed = finished(words)
    assert code == 0, printed
    assert "Resuming at epoch " in printed
    assert same(tmp_path / "whole", tmp_path / "cut")
    assert not (tmp_path / "cut.checkpoint").exists()
    assert len(load_trained(tmp_path / "cut").metadata["metrics"]) == 8


def test_a_checkpoint_of_another_training_is_refused_and_stays(
    cifar: tuple[Path, Path], tiny: Path, tmp_path: Path
) -> None:
    words = command(tiny, *cifar, tmp_path / "m", **LONG)
    with started(words):
        wait_until((tmp_path / "m.checkpoint" / "checkpoint.pt").is_file)
    before = (tmp_path / "m.checkpoint" / "checkpoint.pt").read_bytes()
    with pytest.raises(Exception, match=r"belongs to another training \(learning_rate was 0.01, is 0.02\): delete it"):
        train_pytorch_model(tiny, *cifar, tmp_path / "m", **{**LONG, "learning_rate": 0.02})
    assert (tmp_path / "m.checkpoint" / "checkpoint.pt").read_bytes() == before


def test_the_terminals_ctrl_c_stops_the_training_and_not_its_decoders(
    cifar: tuple[Path, Path], tiny: Path, tmp_path: Path
) -> None:
    words = command(tiny, *cifar, tmp_path / "m", **LONG, cache_limit_gb=0)
    with started(words, start_new_session=True) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if "Epoch: [2/15]" in line)
        os.killpg(process.pid, signal.SIGINT)
        rest = process.communicate(timeout=60)[0]
    assert process.returncode == 130 and "Traceback" not in rest and "Told to end at epoch 2" in rest


def test_a_killed_training_leaves_no_ring(cifar: tuple[Path, Path], tiny: Path, tmp_path: Path) -> None:
    def rings() -> set[Path]:
        return {*Path("/dev/shm").glob("toolkit-images-*"), *Path(tempfile.gettempdir()).glob("toolkit-images-*")}

    before = rings()
    with started(command(tiny, *cifar, tmp_path / "m", **LONG, cache_limit_gb=0)) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if "Epoch: [1/15]" in line)
        assert len(rings() - before) == 2
    wait_until(lambda: not rings() - before)


def test_workers_do_not_outlive_the_training(cifar: tuple[Path, Path], tiny: Path, tmp_path: Path) -> None:
    import psutil

    decoders: list[psutil.Process] = []
    with started(command(tiny, *cifar, tmp_path / "m", **LONG, cache_limit_gb=0)) as process:

        def running() -> bool:
            decoders[:] = psutil.Process(process.pid).children(recursive=True)
            return len(decoders) >= 2

        wait_until(running)
    wait_until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in decoders))


# -- processes that share the work --------------------------------------------------------------------------------


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """An UntrainedModelDirectory of `Tiny`, without dropout: how many share a step makes no difference."""
    sources = tmp_path / "plain-sources"
    sources.mkdir()
    (sources / "nets.py").write_text(NETWORK)
    network(tmp_path / "plain", "nets:Tiny", source_directory=sources)
    return tmp_path / "plain"


@pytest.mark.parametrize("by_torchrun", [True, False], ids=["started by torchrun", "starting itself"])
def test_two_processes_train_as_one_with_twice_the_batch(
    cifar: tuple[Path, Path], plain: Path, tmp_path: Path, by_torchrun: bool
) -> None:
    values = {"epochs": 2, "print_freq": 2, "keep": "last"}
    train_pytorch_model(plain, *cifar, tmp_path / "one", batch_size=32, learning_rate=0.05, **values)
    half = {**values, "batch_size": 16, "learning_rate": 0.025}  # the rate is multiplied by the number of processes
    if by_torchrun:
        words = command(plain, *cifar, tmp_path / "two", **half)
        words[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    else:
        words = command(plain, *cifar, tmp_path / "two", **half, processes=2)
    code, printed = finished(words)
    assert code == 0, printed
    assert printed.count("\nEpoch 2,train_ips") == 1, "the first process speaks for all"
    assert close(tmp_path / "one", tmp_path / "two")
    one, two = (load_trained(tmp_path / name).metadata["metrics"] for name in ("one", "two"))
    assert one["valid_loss"] == pytest.approx(two["valid_loss"], rel=1e-3)


def test_a_process_without_images_to_judge_does_not_keep_the_others_waiting(
    cifar: tuple[Path, Path], tmp_path: Path
) -> None:
    """Batch normalization has buffers, which the processes share in training."""
    few = ImageDirectory.load(cifar[1], "Validation dataset")
    shutil.copytree(cifar[1], tmp_path / "few")
    few.select([0, 20, 40]).save(tmp_path / "few")
    network(tmp_path / "net", "resnet18")
    values = {"epochs": 1, "batch_size": 32, "processes": 2}
    code, printed = finished(command(tmp_path / "net", cifar[0], tmp_path / "few", tmp_path / "model", **values))
    assert code == 0, printed


def test_two_processes_that_are_told_to_end_go_on_to_the_same_weights(
    cifar: tuple[Path, Path], plain: Path, tmp_path: Path
) -> None:
    values = {**LONG, "processes": 2}
    assert finished(command(plain, *cifar, tmp_path / "whole", **values))[0] == 0
    words = command(plain, *cifar, tmp_path / "cut", **values)
    with started(words) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if "Epoch: [2/15]\tIter: [10/20]" in line)
        process.terminate()
        rest = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + signal.SIGTERM, rest
    assert "Told to end at epoch 2" in rest
    code, printed = finished(words)
    assert code == 0 and "Resuming at epoch 2, step " in printed
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_an_error_of_one_of_several_processes_is_told_once_and_by_its_name(
    cifar: tuple[Path, Path], tmp_path: Path
) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "flat.py").write_text(FLAT)
    network(tmp_path / "net", "flat:Flat", source_directory=sources)
    code, printed = finished([*command(tmp_path / "net", *cifar, tmp_path / "model", **FEW, processes=2), "--json"])
    assert code == 1
    (told,) = (json.loads(line) for line in printed.splitlines() if line.startswith('{"Exception"'))
    assert told["Exception"]["ErrorId"] == "InvalidModelDirectoryError" and told["Exception"]["ErrorCode"] == 159


# -- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"epochs": 0}, GreaterThanOrEqualToError, 'Parameter "Epochs" value should be greater than or equal to 1'),
        ({"batch_size": 0}, GreaterThanOrEqualToError, '"Batch size"'),
        ({"patience": 0}, GreaterThanOrEqualToError, '"Patience"'),
        ({"print_freq": 0}, GreaterThanOrEqualToError, '"Print frequency"'),
        ({"learning_rate": 0}, GreaterThanOrEqualToError, '"Learning rate"'),
        ({"learning_rate": float("nan")}, GreaterThanOrEqualToError, '"Learning rate"'),
        (
            {"num_warmup_steps": 2},
            NotInRangeValueError,
            r'"Warmup step number" value should be in the range of \[0, 1\]',
        ),
        ({"num_warmup_steps": -1}, NotInRangeValueError, '"Warmup step number"'),
        ({"label_smoothing": 1}, NotInRangeValueError, '"Label smoothing"'),
        (
            {"batch_size": 161},
            LessThanOrEqualToError,
            'Parameter "Batch size" value 161 should be less than or equal to train data count value 160.',
        ),
        ({"device": "tpu"}, Exception, "there is no device 'tpu'"),
    ],
)
def test_a_parameter_out_of_its_range(
    cifar: tuple[Path, Path], tiny: Path, tmp_path: Path, values: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        train_pytorch_model(tiny, *cifar, tmp_path / "model", **{**FEW, **values})
    assert not (tmp_path / "model").exists() and not (tmp_path / "data").exists()


def changed(directory: Path, copy: Path) -> ImageDirectory:
    shutil.copytree(directory, copy)
    return ImageDirectory.load(copy, "Training dataset")


def test_a_set_without_labels(cifar: tuple[Path, Path], tiny: Path, tmp_path: Path) -> None:
    bare = changed(cifar[1], tmp_path / "bare")
    ImageDirectory(bare.root, bare.files, np.full(len(bare), -1), {}, bare.ids, bare.sizes).save(bare.root)
    for sets, name in (((bare.root, cifar[1]), "Training dataset"), ((cifar[0], bare.root), "Validation dataset")):
        with pytest.raises(NotLabeledDatasetError, match=f'There is no label column in "{name}"') as caught:
            train_pytorch_model(tiny, *sets, tmp_path / "model")
        assert caught.value.code == 24


def test_classes_that_differ(cifar: tuple[Path, Path], tiny: Path, tmp_path: Path) -> None:
    odd = changed(cifar[1], tmp_path / "odd")
    ImageDirectory(odd.root, odd.files, odd.labels, {**odd.categories, 3: "lion"}, odd.ids, odd.sizes).save(odd.root)
    with pytest.raises(InvalidDatasetError, match=r"Validation dataset is not valid, reason: .*not: lion") as caught:
        train_pytorch_model(tiny, cifar[0], odd.root, tmp_path / "model")
    assert caught.value.code == 18


def test_one_class(cifar: tuple[Path, Path], tiny: Path, tmp_path: Path) -> None:
    one = changed(cifar[0], tmp_path / "one").select(list(range(40)))
    ImageDirectory(one.root, one.files, one.labels, {0: "airplane"}, one.ids, one.sizes).save(one.root)
    with pytest.raises(InvalidDatasetError, match=r"it has one class \(airplane\)"):
        train_pytorch_model(tiny, one.root, one.root, tmp_path / "model")


@pytest.mark.parametrize("known", [True, False], ids=["sizes in the list", "sizes in the files only"])
def test_images_of_different_sizes(cifar: tuple[Path, Path], tiny: Path, tmp_path: Path, known: bool) -> None:
    from PIL import Image

    mixed = changed(cifar[0], tmp_path / "mixed")
    Image.new("RGB", (40, 30)).save(mixed.path(50))
    assert mixed.sizes is not None
    mixed.sizes[50] = (40, 30)
    ImageDirectory(
        mixed.root, mixed.files, mixed.labels, mixed.categories, mixed.ids, mixed.sizes if known else None
    ).save(mixed.root)
    with pytest.raises(InvalidDatasetError, match=r"Training dataset is not valid.*differ in size.*40x30.*a crop must"):
        train_pytorch_model(tiny, mixed.root, cifar[1], tmp_path / "model", **FEW)


def test_images_that_cannot_be_read_are_counted_and_named(
    cifar: tuple[Path, Path], tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = changed(cifar[0], tmp_path / "broken")
    Path(broken.path(3)).write_bytes(b"this is no image")
    Path(broken.path(4)).write_bytes(Path(broken.path(4)).read_bytes()[:-400])
    Path(broken.path(5)).unlink()
    train_pytorch_model(tiny, broken.root, cifar[1], tmp_path / "model", **FEW)
    printed = capsys.readouterr().out
    assert "2 training images are unreadable, and were left out:" in printed
    assert broken.path(3) in printed and broken.path(5) in printed
    assert "1 training images are damaged, and were used as far as they go" in printed
    assert load_trained(tmp_path / "model").metadata["images"] == {
        "unreadable training images": 2, "damaged training images": 1,
    }  # fmt: skip


def test_no_image_can_be_read(cifar: tuple[Path, Path], tiny: Path, tmp_path: Path) -> None:
    broken = changed(cifar[0], tmp_path / "broken")
    for position in range(len(broken)):
        Path(broken.path(position)).write_bytes(b"")
    with pytest.raises(InvalidDatasetError, match=r"none of its 160 images can be read: image/0_0.png .it is empty."):
        train_pytorch_model(tiny, broken.root, cifar[1], tmp_path / "model", **FEW)


def test_a_loss_that_is_no_number(cifar: tuple[Path, Path], tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(
        TrainingDivergedError, match=r"the training loss is (nan|inf) at epoch .*lower the learning rate"
    ):
        train_pytorch_model(tiny, *cifar, tmp_path / "model", **{**FEW, "epochs": 30, "learning_rate": 1e6})
    assert not (tmp_path / "model").exists()


def test_a_batch_of_one_and_batch_normalization(cifar: tuple[Path, Path], tmp_path: Path) -> None:
    network(tmp_path / "net", "resnet18")
    with pytest.raises(
        GreaterThanOrEqualToError, match='Parameter "Batch size" value should be greater than or equal to 2'
    ):
        train_pytorch_model(tmp_path / "net", *cifar, tmp_path / "model", **{**FEW, "batch_size": 1})


def test_something_else_than_a_network(cifar: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InvalidModelDirectoryError, match='ModelDirectory "Untrained model" is invalid') as caught:
        train_pytorch_model(cifar[0], *cifar, tmp_path / "model")
    assert caught.value.code == 159


def test_a_network_that_gives_something_else_than_logits(cifar: tuple[Path, Path], tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "flat.py").write_text(FLAT)
    network(tmp_path / "net", "flat:Flat", source_directory=sources)
    with pytest.raises(
        InvalidModelDirectoryError, match=r"for 32 images and 4 classes the network gives \(32, 4, 32, 32\)"
    ):
        train_pytorch_model(tmp_path / "net", *cifar, tmp_path / "model", **FEW)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("epochs", "5", "a whole number"),
        ("epochs", 1.5, "a whole number"),
        ("batch_size", True, "a whole number"),
        ("learning_rate", "0.1", "a number"),
        ("keep", "frist", "one of best, last"),
        ("precision", "float16", "one of auto, float32, bfloat16"),
        ("normalization", "foo", "one of half, imagenet"),
        ("channels_last", True, "one of auto, yes, no"),
        ("compile", "yes", "True or False"),
        ("trained_model_path", 3, "text or a path"),
    ],
)
def test_a_value_of_another_type(
    cifar: tuple[Path, Path], tiny: Path, tmp_path: Path, name: str, value: object, wanted: str
) -> None:
    values: dict[str, Any] = {"trained_model_path": tmp_path / "model", **FEW, name: value}
    with pytest.raises(UserErrorException, match=f"{name} is {value!r}; it must be {wanted}$"):
        train_pytorch_model(tiny, *cifar, **values)


@pytest.mark.parametrize("name", ["workers", "processes", "checkpoint_seconds", "cache_limit_gb"])
def test_numbers_below_zero(cifar: tuple[Path, Path], tiny: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(GreaterThanOrEqualToError, match="value should be greater than or equal to 0"):
        train_pytorch_model(tiny, *cifar, tmp_path / "model", **{**FEW, name: -1})


def test_an_output_that_holds_something_else_is_not_replaced(
    cifar: tuple[Path, Path], tiny: Path, tmp_path: Path
) -> None:
    shutil.copytree(cifar[0], tmp_path / "train")
    (tmp_path / "file").write_text("")
    for output, message in (
        (tmp_path / "train", "is a ImageDirectory already, and is not replaced by a ModelDirectory"),
        (tiny, "is a UntrainedModelDirectory already"),
        (tmp_path, "holds other files already"),
        (tmp_path / "file" / "model", "cannot be made in .*file: it is a file"),
    ):
        with pytest.raises(UserErrorException, match=message):
            train_pytorch_model(tiny, tmp_path / "train", cifar[1], output, **FEW)
    assert len(ImageDirectory.load(tmp_path / "train", "Training dataset")) == 160
    train_pytorch_model(tiny, *cifar, tmp_path / "model", **FEW)
    train_pytorch_model(tiny, *cifar, tmp_path / "model", **{**FEW, "epochs": 1})
    assert load_trained(tmp_path / "model").metadata["epochs"] == 1


def test_a_garbled_checkpoint_is_refused(cifar: tuple[Path, Path], tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "model.checkpoint").mkdir()
    (tmp_path / "model.checkpoint" / "checkpoint.pt").write_bytes(b"\x80\x02garbage")
    with pytest.raises(UserErrorException, match=r"checkpoint.pt cannot be read .*: delete it to train from the start"):
        train_pytorch_model(tiny, *cifar, tmp_path / "model", **FEW)


def test_an_output_that_cannot_be_saved_leaves_a_checkpoint_of_the_whole_training(
    cifar: tuple[Path, Path], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from toolkit.vision.training import job as training_job

    def full(*given: object, **more: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")  # torch's words

    train_pytorch_model(tiny, *cifar, tmp_path / "whole", **FEW)
    with monkeypatch.context() as patch:
        patch.setattr(training_job, "save_trained", full)
        with pytest.raises(ModuleOutOfMemoryError, match=r"the disk of .* is full"):
            train_pytorch_model(tiny, *cifar, tmp_path / "model", **FEW)
    assert not (tmp_path / "model").exists() and not list(tmp_path.glob(".model*"))
    capsys.readouterr()
    train_pytorch_model(tiny, *cifar, tmp_path / "model", **FEW)
    printed = capsys.readouterr().out
    assert "Resuming at epoch 3" in printed and "train_ips" not in printed, "nothing is trained again"
    assert same(tmp_path / "whole", tmp_path / "model")


def test_what_could_not_be_read_for_a_while_is_decoded_again(
    cifar: tuple[Path, Path], tiny: Path, tmp_path: Path, cache: Path
) -> None:
    """A folder that is away for a while, as one of a network: what could not be read then is not remembered."""
    train = changed(cifar[0], tmp_path / "train")
    os.rename(train.path(7), tmp_path / "away")
    train_pytorch_model(tiny, train.root, cifar[1], tmp_path / "without", **FEW)
    assert load_trained(tmp_path / "without").metadata["images"] == {"unreadable training images": 1}
    Path(train.path(7)).mkdir()  # there, and not to be read
    train_pytorch_model(tiny, train.root, cifar[1], tmp_path / "without", **FEW)
    assert any((folder / "passing").exists() and not (folder / "whole").exists() for folder in cache.iterdir())
    os.rmdir(train.path(7))
    os.rename(tmp_path / "away", train.path(7))
    train_pytorch_model(tiny, train.root, cifar[1], tmp_path / "with", **FEW)
    assert "images" not in load_trained(tmp_path / "with").metadata


def test_a_folder_of_the_user_does_not_shadow_the_standard_library(
    cifar: tuple[Path, Path], plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("random.py", "queue.py", "tempfile.py"):
        (tmp_path / name).write_text("raise RuntimeError('not this one')\n")
    monkeypatch.chdir(tmp_path)
    train_pytorch_model(plain, *cifar, "model", **FEW)
    assert (tmp_path / "model" / "MLmodel").is_file()


def test_memory_runs_out_and_a_batch_size_that_fits_is_named(cifar: tuple[Path, Path], tmp_path: Path) -> None:
    """1 GB an image, in a process that may have 9."""
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "big.py").write_text(BIG)
    network(tmp_path / "net", "big:Big", source_directory=sources)
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_AS, (9 << 30, 9 << 30)); "
    words = command(tmp_path / "net", *cifar, tmp_path / "model", batch_size=32)
    words = [words[0], "-c", f"{limit}sys.argv = {['vision', *words[3:]]!r}; from toolkit.vision.command import main; "
             "sys.exit(main())"]  # fmt: skip
    code, printed = finished(words)
    assert code == 1, printed
    assert ModuleOutOfMemoryError.__name__ in printed and "A 'Batch size' of 4 fits here; 32 does not." in printed


def test_a_disk_that_is_full_costs_the_checkpoint_and_not_the_training(
    cifar: tuple[Path, Path], tiny: Path, tmp_path: Path
) -> None:
    """A limit on the size of a file stands for the full disk: it ends the write of a checkpoint in its middle."""
    limit = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1])); "
    train_pytorch_model(tiny, *cifar, tmp_path / "warm", **LONG)  # so that the decoded images are there
    words = command(tiny, *cifar, tmp_path / "model", **LONG)
    words = [words[0], "-c", f"{limit}sys.argv = {['vision', *words[3:]]!r}; from toolkit.vision.command import main; "
             "sys.exit(main())"]  # fmt: skip
    printed = finished(words)[1]
    assert printed.count("cannot be written") == 1 and "the training goes on" in printed
    assert "Epoch 15,train_ips" in printed
    assert not list(tmp_path.glob("model.checkpoint/*")), "nothing is left of what could not be written"
