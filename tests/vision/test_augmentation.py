"""Random operations on batches, compared with torchvision's own on the same images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch, from the extra `train`")

from torchvision.transforms.v2 import functional  # noqa: E402

from toolkit.inscript.errors import UserErrorException  # noqa: E402
from toolkit.vision.training.augmentation import OPERATIONS, Augmentation  # noqa: E402


@pytest.fixture
def images() -> Any:
    """Smooth pictures, so that a pixel more or less makes little of a difference: 64x3x24x32."""
    coarse = torch.rand(64, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (24, 32), mode="bicubic").clamp(0, 1)


def changed(before: Any, after: Any) -> Any:
    return (before != after).flatten(1).any(1)


@pytest.mark.parametrize(
    ("name", "flip"), [("RandomHorizontalFlip", functional.hflip), ("RandomVerticalFlip", functional.vflip)]
)
def test_about_half_of_the_images_are_flipped_exactly(images: Any, name: str, flip: Callable[[Any], Any]) -> None:
    result = Augmentation([[name]])(images, seed=1)
    flipped = changed(images, result)
    assert 15 < flipped.sum() < 49
    assert torch.equal(result[flipped], flip(images)[flipped])
    assert torch.equal(Augmentation([[name, 0.0]])(images, 1), images)
    assert torch.equal(Augmentation([[name, 1.0]])(images, 1), flip(images))


def test_a_crop_is_a_window_of_the_image_and_all_windows_come(images: Any) -> None:
    result = Augmentation([["RandomCrop", 22]])(images, seed=2)
    assert result.shape == (64, 3, 22, 22)
    found = set()
    for image, crop in zip(images, result):
        windows = [
            (top, left) for top in range(3) for left in range(11)
            if torch.equal(functional.crop(image, top, left, 22, 22), crop)
        ]  # fmt: skip
        assert len(windows) == 1
        found.add(windows[0])
    assert {top for top, _ in found} == {0, 1, 2} and len({left for _, left in found}) > 8


def test_a_crop_may_have_a_border_of_its_own(images: Any) -> None:
    result = Augmentation([["RandomCrop", 24, 4]])(images, seed=2)
    assert result.shape == (64, 3, 24, 24)
    bordered = torch.nn.functional.pad(images, [4] * 4)
    for image, crop in zip(bordered, result):
        assert any(
            torch.equal(functional.crop(image, top, left, 24, 24), crop) for top in range(9) for left in range(17)
        )


def test_a_crop_that_does_not_fit_says_so(images: Any) -> None:
    with pytest.raises(UserErrorException, match="a random crop of 25 does not fit into images of 32x24 pixels"):
        Augmentation([["RandomCrop", 25]])(images, 0)


def test_a_rotation_is_that_of_torchvision(images: Any) -> None:
    result = Augmentation([["RandomRotation", 40]])(images, seed=3)
    angles = torch.rand(64, 1, generator=torch.Generator().manual_seed(3)).squeeze(1) * 80 - 40
    assert angles.min() < -30 and angles.max() > 30
    for image, ours, angle in zip(images, result, angles):
        theirs = functional.rotate(image, float(angle))
        near = (ours - theirs).abs().amax(0) < 0.1  # nearest neighbours: a pixel on the edge may fall to either side
        assert near.float().mean() > 0.97


def test_a_perspective_moves_corners_inwards_in_about_half_of_the_images(images: Any) -> None:
    white = torch.ones_like(images)
    result = Augmentation([["RandomPerspective"]])(white, seed=4)
    moved = changed(white, result)
    assert 15 < moved.sum() < 49
    assert 0.3 < result[moved].mean() < 0.95, "what is outside is black"
    assert (result[moved][:, :, 12, 16] > 0.99).all(), "the middle stays inside"


def test_a_resized_crop_has_the_size_and_parts_of_the_image(images: Any) -> None:
    result = Augmentation([["RandomResizedCrop", 16]])(images, seed=5)
    assert result.shape == (64, 3, 16, 16)
    lowest, highest = images.amin((2, 3)) - 1e-4, images.amax((2, 3)) + 1e-4
    assert (result.amin((2, 3)) >= lowest).all() and (result.amax((2, 3)) <= highest).all()
    assert changed(result[:1].expand(64, -1, -1, -1), result).sum() == 63


def test_an_erased_rectangle_is_black_and_within_its_share(images: Any) -> None:
    white = torch.ones_like(images)
    result = Augmentation([["RandomErasing"]])(white, seed=6)
    erased = 1 - result.mean((1, 2, 3))
    some = erased[erased > 0]
    assert 15 < len(some) < 49 and some.max() < 0.36 and some.min() > 0.01


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_the_seed_decides_and_places_are_those_of_the_whole_step(images: Any, name: str) -> None:
    arguments = {"RandomCrop": [20], "RandomResizedCrop": [16], "RandomRotation": [30], "RandomAffine": [30]}
    augmentation = Augmentation([[name, *arguments.get(name, [])]])
    whole = augmentation(images, seed=9)
    assert torch.equal(whole, augmentation(images, seed=9))
    if name != "ColorJitter":
        assert not torch.equal(whole, augmentation(images, seed=10))
    places = torch.tensor([40, 3, 63])
    assert torch.equal(augmentation(images[places], 9, places, total=64), whole[places])


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(UserErrorException, match="not a random operation: Solarize; there are ColorJitter, "):
        Augmentation([["Solarize"]])
