"""The operations of a transformation on all images of a directory."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.rig import pictures
from toolkit.inscript.errors import UserErrorException
from toolkit.vision.data import apply
from toolkit.vision.data.apply import apply_image_transformation
from toolkit.vision.data.convert import convert_to_image_directory
from toolkit.vision.data.image_directory import ImageDirectory
from toolkit.vision.data.transformation import init_image_transformation
from toolkit.vision.errors import InvalidDatasetError, InvalidTransformationDirectoryError


def converted(folder: Path, suffix: str = ".jpg") -> Path:
    """Six images of three sizes in two classes."""
    for number, name in enumerate(("cat", "dog")):
        (folder / "raw" / name).mkdir(parents=True)
        for index, size in enumerate(((40, 30), (30, 40), (50, 50))):
            pictures.noise(*size, seed=3 * number + index).save(folder / "raw" / name / f"{index}{suffix}")
    convert_to_image_directory(folder / "raw", folder / "images")
    return folder / "images"


def pixels(directory: ImageDirectory) -> list[bytes]:
    return [Image.open(directory.path(position)).tobytes() for position in range(len(directory))]


def test_images_are_written_as_png_with_their_labels_and_ids(tmp_path: Path) -> None:
    source = converted(tmp_path)
    init_image_transformation(tmp_path / "t", size=24, crop_size=20)
    result = apply_image_transformation(tmp_path / "t", source, tmp_path / "out", "For inference")
    made, given = ImageDirectory.load(tmp_path / "out", "out"), ImageDirectory.load(source, "in")

    assert made.files == [name.replace(".jpg", ".png") for name in given.files]
    assert (made.labels.tolist(), made.categories, made.ids) == (given.labels.tolist(), given.categories, given.ids)
    assert made.sizes is not None and made.sizes.tolist() == [[20, 20]] * 6
    for position in range(6):
        with Image.open(made.path(position)) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (20, 20))
    assert result.lines == ["6 images, 2 classes"] and result.facts["skipped"] == {}
    assert result.directory.root == tmp_path / "out"


def test_inference_leaves_out_what_is_random(tmp_path: Path) -> None:
    source = converted(tmp_path)
    init_image_transformation(tmp_path / "plain", size=24, crop_size=20, random_horizontal_flip=False)
    init_image_transformation(tmp_path / "random", size=24, crop_size=20, random_vertical_flip=True)
    modes = {
        ("plain", "For training"): "a", ("random", "For inference"): "b", ("random", "For training"): "c",
    }  # fmt: skip
    found = {}
    for (transformation, mode), name in modes.items():
        result = apply_image_transformation(tmp_path / transformation, source, tmp_path / name, mode)  # type: ignore[arg-type]
        found[name] = pixels(result.directory)
    assert found["a"] == found["b"] != found["c"]


def test_the_seed_decides_whatever_the_number_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = converted(tmp_path)
    init_image_transformation(
        tmp_path / "t", size=30, crop_size=28, random_rotation=True, random_rotation_degrees=30,
        random_resized_crop=True, random_size=16, random_perspective=True, random_erasing=True,
    )  # fmt: skip
    monkeypatch.setattr(apply, "_IMAGES_A_PIECE", 1)
    found = []
    for name, threads, seed in (("a", 1, 1), ("b", 4, 1), ("c", 1, 2), ("d", 1, -5)):
        monkeypatch.setattr(apply, "_threads", lambda job, threads=threads: threads)
        result = apply_image_transformation(tmp_path / "t", source, tmp_path / name, random_seed=seed)
        found.append(pixels(result.directory))
    assert found[0] == found[1]
    assert found[0] != found[2] != found[3]
    assert len(set(found[0])) == 6


def test_an_image_smaller_than_the_crop(tmp_path: Path) -> None:
    source = converted(tmp_path)
    init_image_transformation(tmp_path / "t", resize=False, center_crop=False, random_crop=True, random_crop_size=35)
    with pytest.raises(InvalidDatasetError, match=r"image/0_0.jpg is smaller than the crop: it has 40x30") as caught:
        apply_image_transformation(tmp_path / "t", source, tmp_path / "out")
    assert "adjust parameter 'crop size' value or input image size" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_sizes_that_differ_are_warned_of_and_only_then(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = converted(tmp_path)
    init_image_transformation(tmp_path / "resize", size=20, center_crop=False)
    init_image_transformation(tmp_path / "crop", size=20, crop_size=20)
    apply_image_transformation(tmp_path / "crop", source, tmp_path / "b")
    assert capsys.readouterr().err == ""
    apply_image_transformation(tmp_path / "resize", source, tmp_path / "a")
    assert "3 different sizes, from 20x20 to 26x20: a resize keeps the aspect" in capsys.readouterr().err
    apply_image_transformation(tmp_path / "resize", tmp_path / "b", tmp_path / "c")
    assert capsys.readouterr().err == ""


def test_unreadable_images_are_left_out_and_named(tmp_path: Path) -> None:
    source = converted(tmp_path, ".png")
    (source / "image" / "0_1.png").write_bytes(b"")
    cut = source / "image" / "1_0.png"
    cut.write_bytes(cut.read_bytes()[:1500])
    init_image_transformation(tmp_path / "t", size=24, crop_size=20)
    result = apply_image_transformation(tmp_path / "t", source, tmp_path / "out")
    assert result.skipped == {"image/0_1.png": "it is empty"}
    assert result.truncated == ["image/1_0.png"]
    assert result.directory.ids == [0, 2, 3, 4, 5]
    assert sorted(os.listdir(tmp_path / "out" / "image")) == [f"{n}.png" for n in ("0_0", "0_2", "1_0", "1_1", "1_2")]
    assert result.lines[1] == "1 files skipped: image/0_1.png (it is empty)"

    for path in (source / "image").iterdir():
        path.write_bytes(b"")
    with pytest.raises(
        InvalidDatasetError, match=r"none of its images can be read, such as image/0_0.png \(it is empty"
    ):
        apply_image_transformation(tmp_path / "t", source, tmp_path / "none")


def test_files_that_differ_in_their_suffix_alone_stay_two(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for number, name in enumerate(("a.jpg", "a.png", "a.png.bmp", "b.c.png")):
        pictures.noise(10, 10, number).save(tmp_path / "raw" / name)
    convert_to_image_directory(tmp_path / "raw", tmp_path / "images")
    init_image_transformation(tmp_path / "t", size=8, crop_size=8)
    result = apply_image_transformation(tmp_path / "t", tmp_path / "images", tmp_path / "out", "For inference")
    assert len(set(result.directory.files)) == len(set(pixels(result.directory))) == 4
    assert all(name.endswith(".png") for name in result.directory.files)


def test_exif_orientation_is_in_the_pixels_afterwards(tmp_path: Path) -> None:
    (tmp_path / "raw" / "a").mkdir(parents=True)
    pictures.turned(tmp_path / "raw" / "a")
    convert_to_image_directory(tmp_path / "raw", tmp_path / "images")
    init_image_transformation(tmp_path / "t", size=32, center_crop=False, random_horizontal_flip=False)
    result = apply_image_transformation(tmp_path / "t", tmp_path / "images", tmp_path / "out")
    for position in range(8):
        with Image.open(result.directory.path(position)) as image:
            assert image.getexif() == {}
            assert np.abs(np.asarray(image, np.int16) - np.asarray(pictures.picture(), np.int16)).mean() < 12


def test_wrong_inputs(tmp_path: Path) -> None:
    source = converted(tmp_path)
    init_image_transformation(tmp_path / "t")
    with pytest.raises(InvalidTransformationDirectoryError, match="is a ImageDirectory"):
        apply_image_transformation(source, source, tmp_path / "out")
    with pytest.raises(InvalidDatasetError, match="is a TransformationDirectory, and it must be an ImageDirectory"):
        apply_image_transformation(tmp_path / "t", tmp_path / "t", tmp_path / "out")
    with pytest.raises(UserErrorException, match="output_path is input_path"):
        apply_image_transformation(tmp_path / "t", source, source)
    with pytest.raises(UserErrorException, match="it is 'For training' or 'For inference'"):
        apply_image_transformation(tmp_path / "t", source, tmp_path / "out", "training")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
