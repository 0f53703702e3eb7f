"""Real images through the whole chain of modules, as a person calls them: from files to an evaluated network."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch, from the extra `train`")

from tests.conftest import needs
from tests.rig import cifar_folders, fashion_mnist, pictures
from toolkit.cli import main
from toolkit.vision.data.image_directory import ImageDirectory
from toolkit.vision.data.images import read_image
from toolkit.vision.scoring.dataframe_directory import Frame

LINEAR = """
from torch import nn

class Linear(nn.Sequential):
    def __init__(self, num_classes, pixels):
        super().__init__(nn.Flatten(), nn.Linear(3 * pixels, num_classes))
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, a cache of the test's own, and a network to train."""
    monkeypatch.setenv("TOOLKIT_DATA", str(tmp_path / "data"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("nets.py").write_text(LINEAR)
    return tmp_path / "here"


def vision(module: str, **values: object) -> None:
    words = [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert main(["vision", module, *words]) == 0


def convert_and_split(source: object, fraction: float) -> None:
    vision("convert-to-image-directory", input_path=source, output_path="images")
    vision("split-image-directory", input_path="images", output1_path="train", output2_path="valid", fraction=fraction)


def linear(pixels: int) -> None:
    vision("network", output_path="net", model_name="nets:Linear", init_params=json.dumps({"pixels": pixels}))


def train_score_evaluate(scored: str = "valid", **parameters: object) -> dict[str, Any]:
    """What the evaluation says of the trained network; its scored table is in the folder `scored`."""
    vision(
        "train-pytorch-model", untrained_model_path="net", train_data_path="train", valid_data_path="valid",
        trained_model_path="model", **parameters,
    )  # fmt: skip
    vision("score-image-model", trained_model_path="model", dataset_path=scored, scored_dataset_path="scored")
    vision("evaluate-model", scored_dataset_path="scored", evaluation_path="evaluation")
    for name in ("confusion_matrix.png", "per_class.png"):
        assert min(read_image(Path("evaluation") / name).size) > 200
    evaluation: dict[str, Any] = json.loads(Path("evaluation/evaluation.json").read_text())
    return evaluation


def check_table(source: str, classes: list[str]) -> Any:
    """The scored table, which has the labels and ids of what was scored, and probabilities that sum to one."""
    table, directory = Frame.load("scored", "Scored dataset").table, ImageDirectory.load(source, "Testing dataset")
    assert table.column("category").to_pylist() == [directory.class_names[label] for label in directory.labels]
    assert table.column("id").to_pylist() == directory.ids
    columns = [f"Scored Probabilities_{name}" for name in classes]
    assert table.column_names == ["category", "id", *columns, "Scored Labels"]
    probabilities = np.stack([table.column(name).to_numpy() for name in columns], axis=1)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert table.column("Scored Labels").to_pylist() == [classes[index] for index in probabilities.argmax(axis=1)]
    return table


def _zip(source: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(source.rglob("*.png")):
            archive.write(path, path.relative_to(source.parent))
    return target


def _tar(source: Path, target: Path) -> Path:
    subprocess.run(["tar", "--create", "--gzip", "--file", target, "--directory", source, "."], check=True)
    return target


def test_cifar_10_in_a_zip_through_resnet_18(data: Path, tmp_path: Path) -> None:
    source = _zip(cifar_folders.write(data, tmp_path / "CIFAR-10", 8), tmp_path / "cifar.zip")
    convert_and_split(source, 0.75)
    for part, images in (("train", 6), ("valid", 2)):
        directory = ImageDirectory.load(part, part)
        assert directory.class_names[:3] == ["airplane", "automobile", "bird"]
        assert np.bincount(directory.labels).tolist() == [images] * 10
    vision("resnet", output_path="net", model_name="resnet18", pretrained="false")
    evaluation = train_score_evaluate(epochs=1)
    check_table("valid", evaluation["classes"])
    assert evaluation["images"] == 20 and len(evaluation["classes"]) == 10


def test_cifar_10_in_a_tar(data: Path, tmp_path: Path) -> None:
    """Accuracy is that of the scored table, and above chance."""
    source = _tar(cifar_folders.write(data, tmp_path / "CIFAR-10", 150, classes=4), tmp_path / "cifar.tar.gz")
    convert_and_split(source, 0.8)
    linear(pixels=32 * 32)
    evaluation = train_score_evaluate(epochs=5, batch_size=32, learning_rate=0.002)
    table = check_table("valid", ["airplane", "automobile", "bird", "cat"])
    right = np.array(table.column("category").to_pylist()) == np.array(table.column("Scored Labels").to_pylist())
    assert evaluation["images"] == len(table) == 120
    assert evaluation["metrics"]["Accuracy"] == pytest.approx(right.mean())
    assert right.mean() > 0.4, "chance is 0.25"


def test_fashion_mnist(tmp_path: Path) -> None:
    """Grey images of 28x28 pixels: a linear network tells them apart nearly as well as a large one."""
    needs(not fashion_mnist.why_not(), fashion_mnist.why_not())
    convert_and_split(fashion_mnist.write(tmp_path / "Fashion-MNIST", 200), 0.8)
    linear(pixels=28 * 28)
    evaluation = train_score_evaluate(epochs=3, batch_size=32, learning_rate=0.005)
    check_table("valid", sorted(fashion_mnist.CLASSES))
    assert evaluation["images"] == 400 and evaluation["metrics"]["Accuracy"] > 0.65
    matrix = [line.split(",") for line in Path("evaluation/confusion_matrix.csv").read_text().splitlines()]
    assert [row[0] for row in matrix[1:]] == sorted(fashion_mnist.CLASSES)
    assert [sum(map(int, row[1:])) for row in matrix[1:]] == [40] * 10


def odd_folder(root: Path) -> Path:
    """Two classes: the odd images, and noise of another size; among them images that none can be made of."""
    for folder in (pictures.odd, pictures.damaged, pictures.unreadable, pictures.turned):
        folder(root / "pictures")
    for number in range(30):
        (root / "noise").mkdir(exist_ok=True)
        pictures.noise(60, 40 + number, number).save(root / "noise" / f"{number}.png")
    return root


UNREADABLE = {"pictures/empty.png", "pictures/header alone.png", "pictures/postscript.jpg", "pictures/text.png"}
CUT_OFF = ["pictures/cut off.jpg", "pictures/cut off.png"]
TAKEN = 22 + 8 + 3 + 30  # odd, turned, damaged, noise


def convert_odd(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Convert the odd images and split them; make a transformation to 32x32 pixels that flips every other one."""
    convert_and_split(odd_folder(tmp_path / "odd"), 0.8)
    printed = capsys.readouterr().out
    assert f"{TAKEN} images, 2 classes" in printed and "4 files skipped: " in printed
    assert all(name in printed for name in UNREADABLE) and f"2 images end early: {', '.join(CUT_OFF)}" in printed
    assert sum(len(ImageDirectory.load(part, part)) for part in ("train", "valid")) == TAKEN
    vision("init-image-transformation", output_path="look", size=32, crop_size=32)
    linear(pixels=32 * 32)


def test_odd_images_are_made_one_size_while_it_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The model has the transformation, so what is scored needs none."""
    convert_odd(capsys, tmp_path)
    evaluation = train_score_evaluate("images", transformation_path="look", epochs=4, learning_rate=0.01)
    printed = capsys.readouterr().out
    assert "images are damaged, and were used as far as they go:" in printed and "unreadable" not in printed
    check_table("images", ["noise", "pictures"])
    assert evaluation["images"] == TAKEN and evaluation["metrics"]["Accuracy"] > 0.85


def test_odd_images_are_made_one_size_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert_odd(capsys, tmp_path)
    words = ["--untrained-model-path", "net", "--train-data-path", "train", "--valid-data-path", "valid"]
    assert main(["vision", "train-pytorch-model", *words, "--trained-model-path", "model"]) == 1
    assert "its images differ in size" in capsys.readouterr().err
    for part, mode in (("train", "For training"), ("valid", "For inference")):
        shutil.move(part, f"odd-{part}")
        vision(
            "apply-image-transformation", transformation_path="look", input_path=f"odd-{part}", output_path=part,
            mode=mode,
        )  # fmt: skip
        directory = ImageDirectory.load(part, part)
        assert directory.sizes is not None and (directory.sizes == 32).all()
        assert directory.ids == ImageDirectory.load(f"odd-{part}", part).ids
    evaluation = train_score_evaluate(epochs=4, learning_rate=0.01)
    check_table("valid", ["noise", "pictures"])
    assert evaluation["images"] == len(directory) == 13 and evaluation["metrics"]["Accuracy"] > 0.7
