"""Two ImageDirectories of one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.rig import pictures
from toolkit.inscript.errors import UserErrorException
from toolkit.vision.data import split
from toolkit.vision.data.convert import convert_to_image_directory
from toolkit.vision.data.image_directory import ImageDirectory
from toolkit.vision.data.split import choose, split_image_directory
from toolkit.vision.errors import InvalidDatasetError, NotInRangeValueError


def converted(folder: Path, counts: dict[str, int]) -> Path:
    convert_to_image_directory(pictures.classes(folder / "raw", counts), folder / "all")
    return folder / "all"


def test_each_class_is_divided_in_the_same_proportion(tmp_path: Path) -> None:
    source = converted(tmp_path, {"cat": 20, "dog": 10, "eel": 10})
    split_image_directory(source, tmp_path / "one", tmp_path / "two", 0.7)
    every = ImageDirectory.load(source, "all")
    one, two = ImageDirectory.load(tmp_path / "one", "1"), ImageDirectory.load(tmp_path / "two", "2")

    assert np.bincount(one.labels).tolist() == [14, 7, 7] and np.bincount(two.labels).tolist() == [6, 3, 3]
    assert one.categories == two.categories == every.categories
    assert sorted([*one.ids, *two.ids]) == every.ids
    for part in (one, two):
        assert part.sizes is not None and len(part.sizes) == len(part)
        for position, number in enumerate(part.ids):
            assert part.files[position] == every.files[number]
            assert os.path.samefile(part.path(position), every.path(number))  # a link, no copy
            assert part.labels[position] == every.labels[number]
        assert sorted(os.listdir(part.root / "image")) == sorted(name.removeprefix("image/") for name in part.files)
        schema = (part.root / "_schema.json").read_text()
        assert schema == (source / "_schema.json").read_text()


def test_the_seed_decides(tmp_path: Path) -> None:
    source = converted(tmp_path, {"cat": 30, "dog": 30})
    ids = []
    for name, seed in (("a", 42), ("b", 42), ("c", 7)):
        one, _ = split_image_directory(source, tmp_path / f"{name}1", tmp_path / f"{name}2", 0.5, seed)
        ids.append(one.ids)
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("fraction", "first"), [(0.9, 9), (0.99 - 0.09, 9), (0.1, 1), (0.29, 2), (0.7, 7), (0.75, 7), (0.6, 6)]
)
def test_the_first_output_gets_the_fraction_rounded_down(tmp_path: Path, fraction: float, first: int) -> None:
    one, two = split_image_directory(converted(tmp_path, {"a": 10}), tmp_path / "1", tmp_path / "2", fraction)
    assert (len(one), len(two)) == (first, 10 - first)


def test_a_fraction_is_meant_as_it_is_written(tmp_path: Path) -> None:
    assert split._count(0.29, 100) == 29  # 0.29 * 100 is 28.999999999999996
    assert split._count(1 / 3, 3) == 1 and split._count(1 - 1 / 3, 3) == 2
    assert split._count(1 / 3, 6) == 2 and split._count(0.9, 1_000_000) == 900_000


@pytest.mark.parametrize("fraction", [0, 1, 0.09, 0.91, -1, 2, float("nan"), float("inf")])
def test_a_fraction_that_leaves_an_output_empty(tmp_path: Path, fraction: float) -> None:
    source = converted(tmp_path, {"a": 10})
    with pytest.raises(
        NotInRangeValueError, match=r'"Fraction" value should be in the range of \[0.1, 0.9\]'
    ) as caught:
        split_image_directory(source, tmp_path / "1", tmp_path / "2", fraction)
    assert caught.value.code == 8
    assert not (tmp_path / "1").exists() and not (tmp_path / "2").exists()


def test_one_image_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(InvalidDatasetError, match="no need to split for a dataset containing less than 2 images"):
        split_image_directory(converted(tmp_path, {"a": 1}), tmp_path / "1", tmp_path / "2")


def test_a_class_of_one_image_makes_it_random(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = converted(tmp_path, {"many": 19, "one": 1})
    one, two = split_image_directory(source, tmp_path / "1", tmp_path / "2", 0.5)
    assert (len(one), len(two)) == (10, 10)
    assert one.categories == two.categories == {0: "many", 1: "one"}
    assert "Warning: the images are divided without regard to their classes: a class has one" in capsys.readouterr().err


def test_fewer_places_than_classes_make_it_random(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = converted(tmp_path, {"a": 4, "b": 4, "c": 4})
    _, two = split_image_directory(source, tmp_path / "1", tmp_path / "2", 0.9)
    assert len(two) == 2
    assert "one output has fewer images than there are classes (3)" in capsys.readouterr().err


def test_images_without_labels_are_divided_at_random(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(pictures.classes(tmp_path / "raw", {"a": 10}) / "a", tmp_path / "flat")
    convert_to_image_directory(tmp_path / "flat", tmp_path / "all")
    one, two = split_image_directory(tmp_path / "all", tmp_path / "1", tmp_path / "2", 0.8)
    assert (len(one), len(two), one.categories) == (8, 2, {})
    assert one.ids != list(range(8))
    assert capsys.readouterr().err == ""


def test_shares_are_exact_and_leave_no_class_out() -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        members = generator.integers(2, 40, size=generator.integers(2, 12))
        labels = np.repeat(np.arange(len(members)), members)
        total = len(labels)
        count = int(generator.integers(len(members), total - len(members) + 1))
        chosen = choose(labels, count, 1)
        shares = np.bincount(labels[chosen], minlength=len(members))
        assert chosen.sum() == count
        assert (shares >= 1).all() and (shares <= members - 1).all()
        inside = (members * count / total > 1) & (members * count / total < members - 1)
        if inside.all():
            assert (np.abs(shares - members * count / total) < 1).all()


def test_where_links_are_refused_images_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or os.stat(shared).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    source = converted(tmp_path, {"a": 4, "b": 4})
    place = shared / f"split-{os.getpid()}"
    try:
        one, two = split_image_directory(source, place / "1", place / "2", 0.5)
        for part in (one, two):
            for position, name in enumerate(part.files):
                assert Path(part.path(position)).read_bytes() == (source / name).read_bytes()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_a_file_with_all_the_links_it_can_have_is_copied(tmp_path: Path) -> None:
    source = converted(tmp_path, {"a": 2})
    image = source / "image" / "0_0.png"
    (tmp_path / "links").mkdir()
    made: list[Any] = []
    try:
        while len(made) < 70_000:
            made.append(os.link(image, tmp_path / "links" / str(len(made))))
    except OSError:
        pass
    else:
        pytest.skip("needs a file system that limits the links of a file")
    one, two = split_image_directory(source, tmp_path / "1", tmp_path / "2", 0.5)
    assert len(one) == len(two) == 1


def test_an_image_that_is_missing_is_named(tmp_path: Path) -> None:
    source = converted(tmp_path, {"a": 4})
    (source / "image" / "0_2.png").unlink()
    with pytest.raises(InvalidDatasetError, match=r"image/0_2.png is in its list, and not in"):
        split_image_directory(source, tmp_path / "1", tmp_path / "2", 0.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all", "raw"]


def test_folders_that_are_in_each_other(tmp_path: Path) -> None:
    source = converted(tmp_path, {"a": 4})
    for one, two in ((source, tmp_path / "2"), (tmp_path / "1", tmp_path / "1"), (source / "1", tmp_path / "2")):
        with pytest.raises(UserErrorException, match="are in each other"):
            split_image_directory(source, one, two)
    with pytest.raises(InvalidDatasetError, match="must be an ImageDirectory"):
        split_image_directory(tmp_path / "raw", tmp_path / "1", tmp_path / "2")


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    reports: list[tuple[float, float]] = []
    split_image_directory(
        converted(tmp_path, {"a": 5, "b": 5}), tmp_path / "1", tmp_path / "2", 0.5,
        progress=lambda done, total: reports.append((done, total)),
    )  # fmt: skip
    assert reports[-1] == (10, 10) and reports == sorted(reports)
