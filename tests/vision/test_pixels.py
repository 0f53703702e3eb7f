"""Decoded sets: kept by content, shared by processes, streamed where they are too large."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import wait_until
from toolkit.vision.data.image_directory import ImageDirectory
from toolkit.vision.training.order import Sampling
from toolkit.vision.training.pixels import Pixels, default_cache

NAME = "Training dataset"


@pytest.fixture
def images(cifar: tuple[Path, Path]) -> ImageDirectory:
    return ImageDirectory.load(cifar[0], NAME)


def expected(images: ImageDirectory, position: int) -> np.ndarray:
    return np.asarray(Image.open(images.path(position)).convert("RGB"))


def read(pixels: Pixels, sampling: Sampling, epoch: int) -> dict[int, np.ndarray]:
    found = {}
    for batch in sampling.batches(epoch):
        places, slots = pixels.wait(batch)
        found.update(zip(batch[places].tolist(), pixels.array[slots].copy()))
    return found


@pytest.mark.parametrize("limit_gb", [1.0, 0.0], ids=["kept", "streamed"])
def test_every_image_of_every_epoch_is_its_own(images: ImageDirectory, tmp_path: Path, limit_gb: float) -> None:
    sampling = Sampling(len(images), 16, seed=3)
    with Pixels(images, NAME, sampling, cache=tmp_path / "cache", limit_gb=limit_gb) as pixels:
        assert pixels.streams == (limit_gb == 0) and (pixels.height, pixels.width) == (32, 32)
        for epoch in range(3):
            found = read(pixels, sampling, epoch)
            assert len(found) == 160
            for position, one in found.items():
                assert np.array_equal(one, expected(images, position))


def test_a_ring_that_is_smaller_than_the_set_starts_where_it_is_told(
    images: ImageDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.vision.training.pixels._RING_BATCHES", 1)
    sampling = Sampling(len(images), 5, seed=3)
    start = {"epoch": 1, "step": 20}
    with Pixels(images, NAME, sampling, cache=tmp_path, limit_gb=0, workers=2, **start) as pixels:
        assert len(pixels.array) < len(images)
        for epoch, step in ((1, 20), (2, 0), (3, 0)):
            for batch in sampling.batches(epoch, step):
                _, slots = pixels.wait(batch)
                for position, slot in zip(batch.tolist(), slots.tolist()):
                    assert np.array_equal(pixels.array[slot], expected(images, position))


def test_two_at_once_share_one_folder_and_one_goes_on_for_the_other(images: ImageDirectory, tmp_path: Path) -> None:
    sampling = Sampling(len(images), 16, seed=1)
    with (
        Pixels(images, NAME, sampling, cache=tmp_path) as first,
        Pixels(images, NAME, sampling, cache=tmp_path) as second,
    ):
        assert len(list(tmp_path.iterdir())) == 1
        assert first._processes and not second._processes
        first.close()  # perhaps before it has decoded all
        assert len(read(second, sampling, 0)) == 160


def test_what_was_decoded_is_not_decoded_again(images: ImageDirectory, tmp_path: Path) -> None:
    sampling = Sampling(len(images), 16, seed=1)
    with Pixels(images, NAME, sampling, cache=tmp_path) as pixels:
        wait_until(lambda: pixels.whole)
    with Pixels(images, NAME, sampling, cache=tmp_path) as pixels:
        assert pixels.whole and not pixels._processes


def test_sets_not_used_for_longest_make_room(images: ImageDirectory, tmp_path: Path) -> None:
    size_gb = 160 * 32 * 32 * 3 / 1e9
    folders = []
    for number, operations in enumerate(([["Pad", 0]], [["CenterCrop", 32]], [["Resize", 32]])):
        before = set(tmp_path.iterdir())
        with Pixels(images, NAME, Sampling(160, 16), operations=operations, cache=tmp_path, limit_gb=2.5 * size_gb):
            pass
        (made,) = set(tmp_path.iterdir()) - before
        os.utime(made / "used", (number, number))
        folders.append(made)
    assert sorted(tmp_path.iterdir()) == sorted(folders[1:])


def test_a_cache_that_cannot_be_written_is_done_without(images: ImageDirectory, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sampling = Sampling(len(images), 16, seed=1)
    with Pixels(images, NAME, sampling, cache=tmp_path / "file" / "cache") as pixels:
        assert pixels.streams and len(read(pixels, sampling, 0)) == 160


def test_a_stream_leaves_nothing_behind(images: ImageDirectory, tmp_path: Path) -> None:
    with Pixels(images, NAME, Sampling(160, 16, 1), cache=tmp_path, limit_gb=0) as pixels:
        folder = pixels._folder
        assert folder.is_dir()
    assert not folder.parent.exists() and list(tmp_path.iterdir()) == []


def test_a_worker_that_is_killed_is_an_error_and_no_wait_for_ever(images: ImageDirectory, tmp_path: Path) -> None:
    sampling = Sampling(160, 16, seed=1)
    with Pixels(images, NAME, sampling, cache=tmp_path, limit_gb=0, workers=1) as pixels:
        pixels._processes[0].kill()
        pixels._processes[0].wait()
        with pytest.raises(RuntimeError, match="a process that decodes images ended with -9: this machine is out of"):
            for epoch in range(9):
                read(pixels, sampling, epoch)


def test_operations_are_applied_as_images_are_decoded(images: ImageDirectory, tmp_path: Path) -> None:
    with Pixels(images, NAME, Sampling(160, 16), operations=[["Pad", 4], ["CenterCrop", 36]], cache=tmp_path) as pixels:
        assert (pixels.height, pixels.width) == (36, 36)
        found = read(pixels, Sampling(160, 16), 0)
        assert np.array_equal(found[7][2:-2, 2:-2], expected(images, 7)) and not found[7][:2].any()


def test_the_cache_is_in_the_shared_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLKIT_DATA", str(tmp_path))
    assert default_cache() == tmp_path / "decoded"
    monkeypatch.delenv("TOOLKIT_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    assert default_cache() == tmp_path / "own" / "toolkit" / "decoded"


def test_a_set_that_moved_is_another_set(images: ImageDirectory, tmp_path: Path) -> None:
    """Two sets may have files of the same names, sizes and times, as unpacked ones do."""
    copy = tmp_path / "copy"
    shutil.copytree(images.root, copy)
    for one in (images, ImageDirectory.load(copy, NAME)):
        with Pixels(one, NAME, Sampling(160, 16), cache=tmp_path / "cache"):
            pass
    assert len(list((tmp_path / "cache").iterdir())) == 2
