"""Which operations make the images of a set, and what each does to one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from torchvision import transforms

from tests.rig import pictures
from toolkit.vision.data.random_operations import TooSmall, apply_random
from toolkit.vision.data.transformation import (
    apply_deterministic,
    init_image_transformation,
    load_transformation,
    size_after,
)
from toolkit.vision.errors import (
    GreaterThanOrEqualToError,
    InvalidTransformationDirectoryError,
    NotInRangeValueError,
)


def directory(path: Path, operations: object, **meta: object) -> Path:
    """A TransformationDirectory as the designer writes it."""
    path.mkdir()
    facts = {"type": "TransformationDirectory", "transform_type": "Image", **meta}
    (path / "_meta.yaml").write_text(yaml.safe_dump(facts))
    (path / "_transforms.json").write_text(json.dumps(operations))
    return path


def test_defaults_are_those_of_the_designer(tmp_path: Path) -> None:
    init_image_transformation(tmp_path / "t")
    stored = json.loads((tmp_path / "t" / "_transforms.json").read_text())
    assert stored == [["Resize", 256], ["CenterCrop", 224], ["RandomHorizontalFlip", 0.5]]
    meta = yaml.safe_load((tmp_path / "t" / "_meta.yaml").read_text())
    assert (meta["type"], meta["transform_type"]) == ("TransformationDirectory", "Image")


def test_the_order_is_fixed_and_what_is_random_comes_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init_image_transformation(
        tmp_path / "t", size=40, crop_size=30, pad=True, padding=2, color_jitter=True, grayscale=True,
        random_resized_crop=True, random_size=28, random_crop=True, random_crop_size=24, random_vertical_flip=True,
        random_rotation=True, random_rotation_degrees=10, random_affine=True, random_affine_degrees=180,
        random_grayscale=True, random_perspective=True, random_erasing=True,
    )  # fmt: skip
    loaded = load_transformation(tmp_path / "t")
    assert loaded.deterministic == [["Resize", 40], ["CenterCrop", 30], ["Pad", 2]]
    assert loaded.random == [
        ["ColorJitter"], ["RandomResizedCrop", 28], ["RandomCrop", 24], ["RandomHorizontalFlip", 0.5],
        ["RandomVerticalFlip", 0.5], ["RandomRotation", 10], ["RandomAffine", 180], ["RandomPerspective", 0.5],
        ["RandomErasing", 0.5],
    ]  # fmt: skip
    assert "no effect, as in the designer: color_jitter, grayscale, random_grayscale" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"size": 0}, GreaterThanOrEqualToError, 'Parameter "Size" value should be greater than or equal to 1.'),
        ({"crop_size": -3}, GreaterThanOrEqualToError, '"Crop size"'),
        ({"padding": -1}, GreaterThanOrEqualToError, '"Padding" value should be greater than or equal to 0.'),
        ({"random_crop_size": 2.5}, GreaterThanOrEqualToError, '"Random crop size"'),
        ({"random_size": True}, GreaterThanOrEqualToError, '"Random size"'),
        ({"size": float("nan")}, GreaterThanOrEqualToError, '"Size"'),
        ({"random_rotation_degrees": 181}, NotInRangeValueError, '"Random rotation degrees" value should be in the '),
        ({"random_affine_degrees": -1}, NotInRangeValueError, r"range of \[0, 180\]"),
        ({"random_affine_degrees": float("nan")}, NotInRangeValueError, r"range of \[0, 180\]"),
    ],
)
def test_parameters_out_of_range(
    tmp_path: Path, parameters: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        init_image_transformation(tmp_path / "t", **parameters)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_the_designer_is_read(tmp_path: Path) -> None:
    old = directory(tmp_path / "old", [["Resize", 256], ["Grayscale"], ["RandomAffine", 30], ["RandomGrayscale"]])
    loaded = load_transformation(old)
    assert (loaded.deterministic, loaded.random) == ([["Resize", 256]], [["RandomAffine", 30]])


@pytest.mark.parametrize(
    ("operations", "reason"),
    [
        ([["Normalize", 1]], "Normalize is not known; known are Resize, CenterCrop"),
        ([["Resize", 0]], "greater than or equal to 1"),
        ([["Resize", "256"]], "greater than or equal to 1"),
        ([["Resize"]], "Resize has 0 arguments"),
        ([["ColorJitter", 0.5]], "with factors is not supported"),
        ([["RandomCrop", 8], ["Resize", 8]], "Resize comes after RandomCrop"),
        (["Resize"], "not of the form"),
        ([[]], "not of the form"),
        ({"Resize": 256}, "no list of operations"),
    ],
)
def test_operations_that_cannot_be_applied(tmp_path: Path, operations: object, reason: str) -> None:
    with pytest.raises(InvalidTransformationDirectoryError, match=reason):
        load_transformation(directory(tmp_path / "t", operations))


def test_something_else_than_a_transformation(tmp_path: Path) -> None:
    broken = directory(tmp_path / "broken", [])
    (broken / "_transforms.json").write_text("[[")
    cases = {
        tmp_path / "missing": "does not exist",
        tmp_path: "a folder without a _meta.yaml",
        directory(tmp_path / "images", [], type="ImageDirectory"): "is a ImageDirectory",
        directory(tmp_path / "tables", [], transform_type="Column"): "for Column, not for images",
        broken: "cannot be read",
    }
    for path, reason in cases.items():
        with pytest.raises(InvalidTransformationDirectoryError, match=reason) as caught:
            load_transformation(path)
        assert caught.value.code == 158


@pytest.mark.parametrize("size", [(50, 37), (37, 50), (64, 64), (20, 200), (1, 9)])
@pytest.mark.parametrize(
    "operations",
    [[["Resize", 40]], [["CenterCrop", 41]], [["Pad", 3]], [["Resize", 33], ["CenterCrop", 32], ["Pad", 1]]],
)
def test_deterministic_operations_are_torchvisions(size: tuple[int, int], operations: list[list[Any]]) -> None:
    image = pictures.noise(*size)
    expected = transforms.Compose([getattr(transforms, name)(argument) for name, argument in operations])(image)
    result = apply_deterministic(operations, image)
    assert np.array_equal(np.asarray(result), np.asarray(expected))
    assert size_after(operations, *size) == result.size


def drawn(operation: list[Any], image: Image.Image, times: int = 40) -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [apply_random([operation], image, generator) for _ in range(times)]


def test_flips_happen_every_other_time() -> None:
    image = pictures.picture()
    for name, flip in (("Horizontal", Image.Transpose.FLIP_LEFT_RIGHT), ("Vertical", Image.Transpose.FLIP_TOP_BOTTOM)):
        results = drawn([f"Random{name}Flip", 0.5], image, 200)
        flipped = sum(result == image.transpose(flip) for result in results)
        assert 70 < flipped < 130 and flipped + sum(result == image for result in results) == 200
        assert drawn([f"Random{name}Flip", 0], image, 5) == [image] * 5


def test_a_random_crop_is_a_part_of_the_image() -> None:
    image = pictures.noise(20, 16)
    pixels = np.asarray(image)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (12, 12, 3))[:, :, 0]
    places = set()
    for result in drawn(["RandomCrop", 12], image, 300):
        row, column = np.argwhere((windows == np.asarray(result)).all(axis=(2, 3, 4)))[0]
        places.add((int(row), int(column)))
    assert places == {(row, column) for row in range(5) for column in range(9)}
    with pytest.raises(TooSmall, match="20x16 pixels, and the random crop is 17x17"):
        drawn(["RandomCrop", 17], image)


def test_a_random_resized_crop_has_the_size_that_is_asked_for() -> None:
    for size in ((40, 30), (200, 3), (3, 200), (1, 1)):
        results = drawn(["RandomResizedCrop", 24], pictures.noise(*size))
        assert {result.size for result in results} == {(24, 24)}
    assert len({result.tobytes() for result in drawn(["RandomResizedCrop", 24], pictures.noise(40, 30))}) == 40


@pytest.mark.parametrize("name", ["RandomRotation", "RandomAffine"])
def test_rotations_stay_within_their_degrees(name: str) -> None:
    image = pictures.picture(64, 64)
    assert drawn([name, 0], image, 3) == [image] * 3
    slight = np.mean([np.abs(np.asarray(one, np.int16) - np.asarray(image)).mean() for one in drawn([name, 5], image)])
    strong = np.mean(
        [np.abs(np.asarray(one, np.int16) - np.asarray(image)).mean() for one in drawn([name, 180], image)]
    )
    assert 0 < slight < strong / 3


def test_perspective_and_erasing_change_every_other_image() -> None:
    image = Image.new("RGB", (40, 30), (200, 100, 50))
    for name in ("RandomPerspective", "RandomErasing"):
        results = drawn([name, 0.5], image, 200)
        changed = [result for result in results if result != image]
        assert 70 < len(changed) < 130
        assert all(result.size == image.size for result in results)
        colours = {colour for result in changed for _, colour in result.getcolors() or []}
        assert (0, 0, 0) in colours
    shares = [{c: n for n, c in one.getcolors() or []}[(0, 0, 0)] / 1200 for one in changed]
    assert 0.01 < min(shares) < 0.1 and 0.2 < max(shares) < 0.36


def test_colour_jitter_without_factors_changes_nothing() -> None:
    assert drawn(["ColorJitter"], pictures.picture(), 2) == [pictures.picture()] * 2
    assert drawn(["RandomPerspective", 1.0], pictures.noise(1, 1), 2) == [pictures.noise(1, 1)] * 2


def test_a_random_crop_may_have_a_border_of_its_own(tmp_path: Path) -> None:
    """As CIFAR-10 is trained: 32 of 40 pixels, and what judges the network sees 32 pixels without a border."""
    made = init_image_transformation(
        tmp_path / "t", resize=False, center_crop=False, random_crop=True, random_crop_size=32, random_crop_padding=4,
        random_horizontal_flip=False,
    )  # fmt: skip
    assert made.operations == (["RandomCrop", 32, 4],) and made.deterministic == []
    assert load_transformation(tmp_path / "t") == made
    white = Image.new("RGB", (32, 32), "white")
    results = drawn(["RandomCrop", 32, 4], white, 100)
    shares = {round(float(np.asarray(result).mean()) / 255, 3) for result in results}
    assert all(result.size == (32, 32) for result in results) and len(shares) > 5 and min(shares) >= 0.76
    with pytest.raises(
        GreaterThanOrEqualToError, match='"Random crop padding" value should be greater than or equal to 0'
    ):
        init_image_transformation(tmp_path / "u", random_crop=True, random_crop_padding=-1)
