"""A folder of odd images, each of which shows the same picture: red at the top left, blue at the bottom right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 48, 32
_ORIENTATION = 0x0112
# The image as it is stored under each EXIF orientation, so that it is seen as the picture.
_STORED = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip


def picture(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """RGB: a quarter is red, a quarter blue, and two are grey ramps."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = np.linspace(40, 200, width, dtype=np.uint8)[None, :, None]
    pixels[: height // 2, : width // 2] = (230, 20, 20)
    pixels[height // 2 :, width // 2 :] = (20, 20, 230)
    return Image.fromarray(pixels)


def noise(width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> Image.Image:
    """RGB of random pixels, which do not compress, so that a file cut in half ends amid them."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def turned(folder: Path, suffix: str = ".jpg") -> dict[int, Path]:
    """The picture stored under each of the EXIF orientations 1 to 8, by that number."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for orientation, stored in _STORED.items():
        made[orientation] = folder / f"orientation {orientation}{suffix}"
        image = picture() if stored is None else picture().transpose(stored)
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        more = {"quality": 95} if suffix == ".jpg" else {}
        image.save(made[orientation], exif=exif, **more)
    return made


def odd(folder: Path) -> dict[str, Path]:
    """Files that can be read, by what is odd about them."""
    folder.mkdir(parents=True, exist_ok=True)
    image, grey = picture(), picture().convert("L")
    deep = np.asarray(grey).astype(np.uint16) * 257
    alpha = Image.linear_gradient("L").resize(image.size)
    palette = image.convert("P", palette=Image.Palette.ADAPTIVE)
    transparent = palette.copy()
    transparent.info["transparency"] = bytes(range(256))
    made: dict[str, Image.Image] = {
        "plain.png": image, "plain.jpg": image, "plain.bmp": image, "plain.ppm": image, "plain.webp": image,
        "plain.tif": image, "grey.png": grey, "grey.pgm": grey, "bilevel.png": grey.convert("1"),
        "palette.png": palette, "palette transparent.png": transparent,
        "la.png": Image.merge("LA", [grey, alpha]), "rgba.png": Image.merge("RGBA", [*image.split(), alpha]),
        "cmyk.jpg": image.convert("CMYK"), "cmyk.tif": image.convert("CMYK"),
        "16 bit.png": Image.fromarray(deep), "16 bit.tif": Image.fromarray(deep),
        "float.tif": Image.fromarray((deep / 65535).astype(np.float32)),
        "ünïcode 文字 %20 .png": image, "UPPER.PNG": image,
    }  # fmt: skip
    for name, content in made.items():
        content.save(folder / name, **({"quality": 95} if name.endswith((".jpg", ".webp")) else {}))
    (folder / "jpeg named.png").write_bytes((folder / "plain.jpg").read_bytes())
    image.save(folder / "animated.png", save_all=True, append_images=[noise(), noise(seed=1)])
    return {path.name: path for path in sorted(folder.iterdir())}


def damaged(folder: Path) -> dict[str, Path]:
    """Files that end in the middle of their pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for suffix in (".jpg", ".png", ".bmp"):
        path = made[suffix] = folder / f"cut off{suffix}"
        noise(128, 128).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return made


def unreadable(folder: Path) -> dict[str, Path]:
    """Files with names of images that none can be made of, by what they are."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "empty.png": b"", "text.png": b"This is not an image.\n", "header alone.png": b"\x89PNG\r\n\x1a\n",
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    }  # fmt: skip
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in content}


def classes(folder: Path, counts: dict[str, int], width: int = 8, height: int = 8) -> Path:
    """A folder for each class with so many PNGs of noise, all different."""
    seed = 0
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            noise(width, height, seed).save(folder / name / f"{number:03}.png")
            seed += 1
    return folder
