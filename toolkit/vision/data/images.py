"""One image file as pixels: whatever its mode, depth and orientation, and as far as a damaged one goes.

Nothing global of Pillow is changed for the rest of the process: an image is decoded strictly, and what was decoded
before an error is kept, so that a damaged image is known as one.
"""

from __future__ import annotations

import errno
import io
import os
import threading
import zlib
from typing import IO, TYPE_CHECKING, Any, NamedTuple

# Importing a format registers it. No others are tried: some of them start other programs on a file.
from PIL import BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, MpoImagePlugin  # noqa: F401

from PIL import PngImagePlugin, PpmImagePlugin, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin  # noqa: F401  # isort: skip

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
# What `oddities` says.
DAMAGED = "damaged or cut off"
TURNED = "turned by its EXIF orientation"
TRANSPARENT = "transparency dropped"
DEEP = "more than 8 bits"
ANIMATED = "animated, first frame taken"
CMYK = "CMYK"

_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM", "GIF")
_ORIENTATION = 0x0112  # the EXIF tag
_SAYS_ORIENTATION = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")  # in Pillow's `info`
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_SIDEWAYS = (5, 6, 7, 8)  # width and height change places
_TAIL = 4096  # bytes at the end of a file in which the mark of the end is looked for
_TEXT_LIMIT = 100  # times Pillow's own limit of a PNG's text
_text_lock = threading.Lock()
_NOT_THE_FILES_FAULT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (), 4: (8, 16), 6: (8, 16)}  # by colour type; 3 needs its palette


class UnreadableImage(Exception):
    """A file that is no image, or from which nothing can be decoded."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Header(NamedTuple):
    """What is known of an image without its pixels.

    Attributes:
        width: in pixels, as it is seen (EXIF orientation applied).
        height: likewise.
        whole: whether the file has its end, where its format (PNG, JPEG) marks that.
    """

    width: int
    height: int
    whole: bool


def is_image_name(name: str) -> bool:
    """Whether the suffix is one of an image."""
    return name[name.rfind(".") :].lower() in IMAGE_SUFFIXES


def read_image(path: str | os.PathLike[str], *, orient: bool = True) -> Image.Image:
    """An image file as 8-bit RGB; see `oddities` for what is worth saying of it.

    Transparency is dropped, 16-bit and float values are scaled to 8 bits, of an animation the first frame is taken,
    and of a damaged file all that can be decoded (the rest is black).

    Args:
        path: the file.
        orient: turn it as its EXIF orientation says (a TIFF is turned always).

    Raises:
        UnreadableImage: not an image, too large (Pillow's limit against decompression bombs), or nothing in it can
            be decoded.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            return _decode(_open(file), orient)
    except Exception as error:
        raise _unreadable(name, error) from error


def oddities(image: Image.Image) -> tuple[str, ...]:
    """What was odd about an image that `read_image` read: DAMAGED, TURNED, TRANSPARENT, DEEP, ANIMATED, CMYK."""
    found: tuple[str, ...] = image.info.get("oddities", ())
    return found


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of an image as it is seen, in pixels, from its header alone.

    Raises:
        UnreadableImage: not an image, or too large.
    """
    return read_header(path)[:2]


def read_header(path: str | os.PathLike[str], content: bytes | None = None) -> Header:
    """The header of an image; its pixels are not decoded.

    Args:
        path: the file.
        content: all of its bytes, where they are there already: the file is not opened then.

    Raises:
        UnreadableImage: not an image, or too large.
    """
    name = os.fspath(path)
    plain = _plain_png(content) if content is not None else None
    if plain is not None:
        return plain
    try:
        with io.BytesIO(content) if content is not None else open(name, "rb") as file:
            image = _open(file)
            width, height = image.size
            if image.format != "TIFF" and _orientation(image, file) in _SIDEWAYS:
                width, height = height, width
            return Header(width, height, _is_whole(image, file))
    except Exception as error:
        raise _unreadable(name, error, content) from error


def _open(file: IO[bytes]) -> Any:
    """An image of which nothing is decoded yet. Any: an ImageFile, of which Pillow types less than it has."""
    try:
        return Image.open(file, formats=_FORMATS)
    except ValueError as error:
        if "MAX_TEXT_CHUNK" not in str(error):
            raise
    with _text_lock:  # a PNG with a long text
        limits = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
        try:
            PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = (_TEXT_LIMIT * limit for limit in limits)
            return Image.open(file, formats=_FORMATS)
        finally:
            PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = limits


def _decode(image: Any, orient: bool) -> Image.Image:
    odd = []
    if image.format not in ("JPEG", "MPO") and getattr(image, "is_animated", False):
        odd.append(ANIMATED)
    if image.format == "TIFF" and image.tag_v2.get(_ORIENTATION, 1) in _TURN:
        odd.append(TURNED)  # Pillow itself turns it
    if not _load(image):
        odd.append(DAMAGED)
    info = image.info
    mode = image.mode
    turn = None
    if info:
        if orient and any(key in info for key in _SAYS_ORIENTATION):
            turn = _TURN.get(_orientation(image))
        if info.pop("transparency", None) is not None or "A" in mode:
            odd.append(TRANSPARENT)
    elif "A" in mode and mode != "LAB":
        odd.append(TRANSPARENT)
    if mode != "RGB":
        if mode[0] == "I" or mode == "F":
            odd.append(DEEP)
            image = _to_8_bits(image)
        elif mode == "CMYK":
            odd.append(CMYK)
        image = image.convert("RGB")
    if turn is not None:
        image = image.transpose(turn)
        odd.append(TURNED)
    image.info = {"oddities": tuple(odd)} if odd else {}
    rgb: Image.Image = image
    return rgb


def _load(image: Any) -> bool:
    """Decode the pixels; False: not all of them could be. Raises what Pillow raised where none could be."""
    try:
        image.load()
        return True
    except MemoryError:
        raise
    except Exception:
        if getattr(image, "_im", None) is None:  # it had not come to the pixels
            raise
        image.tile = []  # so that what was decoded before the error counts as all there is
        if image.getbbox() is None:
            raise
        return False


def _orientation(image: Any, file: IO[bytes] | None = None) -> int:
    """The EXIF orientation, 1 to 8; 1 where it says none, or nonsense.

    Args:
        file: given where the image is not decoded: of a PNG, what stands behind the pixels is read from it.
    """
    if image.format == "PNG" and file is not None and "exif" not in image.info:
        exif = _exif_behind_pixels(file)
        if exif:
            image.info["exif"] = exif
    if not any(key in image.info for key in _SAYS_ORIENTATION):
        return 1
    try:
        # Not the PNG's own, which decodes the whole image first.
        value = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # damaged metadata of a good image
        return 1
    return value if value in _TURN else 1


def _exif_behind_pixels(file: IO[bytes]) -> bytes:
    """The content of a PNG's eXIf chunk, wherever it stands; b"" without one."""
    position = 8
    while True:
        file.seek(position)
        head = file.read(8)
        kind = head[4:]
        if len(head) < 8 or kind == b"IEND":
            return b""
        length = int.from_bytes(head[:4], "big")
        if kind == b"eXIf":
            return b"Exif\0\0" + file.read(length)
        position += 12 + length


def _is_whole(image: Any, file: IO[bytes]) -> bool:
    mark = {"PNG": b"IEND", "JPEG": b"\xff\xd9", "MPO": b"\xff\xd9"}.get(image.format)
    if mark is None:
        return True
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL))
    return mark in file.read()


def _plain_png(content: bytes) -> Header | None:
    """The header of a PNG of the simplest kind (header, pixels, end), four times as quickly as Pillow; else None."""
    if not content.startswith(_PNG_START) or content[37:41] != b"IDAT" or content[-8:-4] != b"IEND":
        return None
    if int.from_bytes(content[33:37], "big") != len(content) - 57:  # there are further chunks
        return None
    width, height = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    depth, colour, compression, filtering, interlace = content[24:29]
    if depth not in _PNG_DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        return None
    if not 0 < width * height <= (Image.MAX_IMAGE_PIXELS or 0):
        return None
    if zlib.crc32(content[12:29]) != int.from_bytes(content[29:33], "big"):
        return None
    return Header(width, height, True)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """A grey image of 16 or 32 bits or of floats, scaled to 0 to 255; no value is clipped."""
    import numpy as np

    values: NDArray[np.float32] = np.nan_to_num(np.asarray(image).astype(np.float32), posinf=0, neginf=0)
    lowest, highest = float(values.min()), float(values.max())
    if image.mode == "F" and lowest >= 0 and highest <= 1:
        scale = 1.0
    elif image.mode == "F" and lowest >= 0 and highest <= 255:
        scale = 255.0
    elif lowest >= 0 and highest <= 65535:
        scale = 65535.0
    else:  # 32-bit data of a range of their own: from the darkest to the brightest
        values, scale = values - lowest, (highest - lowest) or 1.0
    return Image.fromarray((values * (255 / scale) + 0.5).astype(np.uint8))


def _unreadable(path: str, error: Exception, content: bytes | None = None) -> Exception:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _NOT_THE_FILES_FAULT):
        return error
    if isinstance(error, UnidentifiedImageError):
        empty = content == b"" if content is not None else os.path.exists(path) and os.path.getsize(path) == 0
        reason = "it is empty" if empty else "not an image of a known format"
    elif isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        reason = f"too large: {error}"
    else:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return UnreadableImage(path, reason)
