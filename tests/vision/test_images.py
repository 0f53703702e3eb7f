"""Images of all kinds as 8-bit RGB."""

from __future__ import annotations

import pickle
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from tests.rig import pictures
from toolkit.vision.data import images
from toolkit.vision.data.images import Header, UnreadableImage, image_size, oddities, read_header, read_image


def difference(image: Image.Image, expected: Image.Image) -> float:
    """The mean difference of two images of one size, in steps of 0 to 255."""
    assert image.mode == "RGB" and image.size == expected.size
    return float(np.abs(np.asarray(image, np.int16) - np.asarray(expected, np.int16)).mean())


def test_each_kind_of_image_shows_its_picture(tmp_path: Path) -> None:
    colour, grey = pictures.picture(), pictures.picture().convert("L").convert("RGB")
    for name, path in pictures.odd(tmp_path).items():
        without_colour = name.startswith(("grey", "la", "16 bit", "float"))
        image = read_image(path)
        if name == "bilevel.png":
            assert set(np.unique(np.asarray(image))) == {0, 255}
            continue
        limit = 12 if name.endswith((".jpg", ".webp", "named.png")) or "palette" in name or "cmyk" in name else 1
        assert difference(image, grey if without_colour else colour) <= limit, name
        assert image_size(path) == (pictures.WIDTH, pictures.HEIGHT), name


def test_what_was_odd_is_said(tmp_path: Path) -> None:
    found = {name: oddities(read_image(path)) for name, path in pictures.odd(tmp_path).items()}
    expected = {
        "animated.png": (images.ANIMATED,), "palette transparent.png": (images.TRANSPARENT,),
        "la.png": (images.TRANSPARENT,), "rgba.png": (images.TRANSPARENT,), "cmyk.jpg": (images.CMYK,),
        "cmyk.tif": (images.CMYK,), "16 bit.png": (images.DEEP,), "16 bit.tif": (images.DEEP,),
        "float.tif": (images.DEEP,),
    }  # fmt: skip
    assert {name: odd for name, odd in found.items() if odd} == expected


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_every_exif_orientation_is_applied(tmp_path: Path, suffix: str) -> None:
    for orientation, path in pictures.turned(tmp_path, suffix).items():
        image = read_image(path)
        assert difference(image, pictures.picture()) < 12, orientation
        assert image_size(path) == image.size == (pictures.WIDTH, pictures.HEIGHT)
        assert oddities(image) == ((images.TURNED,) if orientation > 1 else ())


def test_orientation_can_be_left_alone(tmp_path: Path) -> None:
    path = pictures.turned(tmp_path)[6]
    assert read_image(path, orient=False).size == (pictures.HEIGHT, pictures.WIDTH)


def test_exif_behind_the_pixels_of_a_png_counts(tmp_path: Path) -> None:
    path = pictures.turned(tmp_path, ".png")[6]
    content = path.read_bytes()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    path.write_bytes(content[:start] + content[end:-12] + content[start:end] + content[-12:])

    assert read_image(path).size == (pictures.WIDTH, pictures.HEIGHT)
    assert image_size(path) == (pictures.WIDTH, pictures.HEIGHT)
    assert read_header(path, path.read_bytes())[:2] == (pictures.WIDTH, pictures.HEIGHT)


def test_16_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    for name in ("ramp.png", "ramp.tif"):
        Image.fromarray(ramp).save(tmp_path / name)
        assert np.asarray(read_image(tmp_path / name))[..., 0].ravel().tolist() == list(range(256))


def test_floats_of_any_range_are_scaled(tmp_path: Path) -> None:
    for lowest, highest in ((-5.0, 5.0), (0.0, 1e6)):
        ramp = np.linspace(lowest, highest, 256, dtype=np.float32).reshape(16, 16)
        ramp[3, 3] = np.nan
        Image.fromarray(ramp).save(tmp_path / "ramp.tif")
        values = np.asarray(read_image(tmp_path / "ramp.tif"))[..., 0].ravel()
        assert values[0] == 0 and values[-1] == 255 and abs(int(values[128]) - 128) <= 1


def test_a_file_that_is_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = np.asarray(pictures.noise(128, 128), np.int16)
    for suffix, path in pictures.damaged(tmp_path).items():
        image = read_image(path)
        pixels = np.asarray(image)
        assert images.DAMAGED in oddities(image), suffix
        assert image.size == (128, 128)
        if suffix == ".png":
            assert np.array_equal(pixels[:50], whole[:50])
        assert pixels.any()
        assert read_header(path).whole == (suffix == ".bmp")  # it has no mark of its end


def test_nothing_of_pillow_is_changed_by_a_damaged_file(tmp_path: Path) -> None:
    path = pictures.damaged(tmp_path)[".jpg"]
    stop, seen = threading.Event(), set()

    def watch() -> None:
        while not stop.is_set():
            seen.add(ImageFile.LOAD_TRUNCATED_IMAGES)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(50):
        read_image(path)
    stop.set()
    watcher.join()
    assert seen == {False}
    with pytest.raises(OSError, match="truncated"), Image.open(path) as image:
        image.load()


def test_what_is_no_image_is_refused_with_the_reason(tmp_path: Path) -> None:
    for name, path in pictures.unreadable(tmp_path).items():
        for read in (read_image, image_size):
            with pytest.raises(UnreadableImage) as caught:
                read(path)
            assert caught.value.path == str(path)
            assert caught.value.reason == ("it is empty" if name == "empty.png" else "not an image of a known format")
    with pytest.raises(UnreadableImage, match="No such file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(UnreadableImage, match="directory"):
        read_image(tmp_path)


def test_a_file_without_any_pixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "header.jpg"
    pictures.noise(64, 64).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\xff\xda") + 14])
    with pytest.raises(UnreadableImage, match="truncated"):
        read_image(path)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    pictures.noise(8, 8).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)
    for read in (read_image, lambda path: read_header(path, path.read_bytes())):
        with pytest.raises(UnreadableImage, match=r"too large: .*3600000000 pixels"):
            read(path)


def test_a_png_with_a_long_text_is_read(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 10), zip=True)
    pictures.picture().save(tmp_path / "text.png", pnginfo=info)
    limit = PngImagePlugin.MAX_TEXT_CHUNK
    assert read_image(tmp_path / "text.png").size == (pictures.WIDTH, pictures.HEIGHT)
    assert limit == PngImagePlugin.MAX_TEXT_CHUNK


def test_headers_from_bytes_are_those_from_files(tmp_path: Path) -> None:
    files = {
        **pictures.odd(tmp_path),
        **pictures.damaged(tmp_path),
        **{str(k): v for k, v in pictures.turned(tmp_path).items()},
    }
    for path in files.values():
        assert read_header(path, path.read_bytes()) == read_header(path)


def test_the_quick_header_of_a_plain_png_believes_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    pictures.noise(12, 9).save(path)
    content = path.read_bytes()
    assert read_header(path, content) == Header(12, 9, True)
    assert read_header(path, content[:-20]) == Header(12, 9, False)
    with pytest.raises(UnreadableImage):
        read_header(path, content[:18] + b"\x07" + content[19:])  # another width, under the old check sum


def test_the_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(UnreadableImage("a.png", "it is empty")))
    assert (error.path, error.reason, str(error)) == ("a.png", "it is empty", "a.png: it is empty")
