"""What is in a zip or a tar, member by member, as it is: nothing is judged here and nothing is written.

Whatever says that an archive is damaged is raised as `Damaged`; an archive that ends early is one too, where the
readers of the standard library would end in silence.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

FILE, FOLDER, LINK, HARD_LINK, DEVICE = "file", "folder", "link", "hard link", "device"
_END_OF_ZIP = b"PK\x05\x06"
_LONGEST_COMMENT = 65_535 + 22  # bytes: the end of a zip is looked for in them
_LARGEST_EXTENSION = 1 << 20  # bytes of a tar's long names and pax headers, which are held in memory
_EXTENSIONS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
               tarfile.SOLARIS_XHDTYPE)  # fmt: skip
_COMPRESSIONS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open,
}  # fmt: skip
_BUFFER = 1 << 18  # bytes
_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, EOFError,
    NotImplementedError, UnicodeDecodeError, OverflowError,
)  # fmt: skip


class Damaged(Exception):
    """An archive that cannot be read (to its end), and why."""


class Member(NamedTuple):
    """An entry of an archive.

    Attributes:
        name: as it stands there.
        kind: FILE, FOLDER, LINK (symbolic), HARD_LINK (to the member `target`), or DEVICE (and all else).
        size: bytes that it says it has, unpacked.
        target: of a link.
        read: all of its bytes.
        open: the same as a stream. Both only before the next member is asked for.
    """

    name: str
    kind: str
    size: int
    target: str
    read: Callable[[], bytes]
    open: Callable[[], IO[bytes]]


@contextmanager
def members(archive: Path) -> Iterator[tuple[Iterator[Member], int | None]]:
    """The members of an archive in its order, and the bytes that all say they have (None: not known before).

    Raises:
        Damaged: here, from the iterator, or from what a member reads.
    """
    with _translated():
        if archive.suffix.lower() == ".zip":
            _refuse_parts(archive)
            with zipfile.ZipFile(archive) as file:
                infos = file.infolist()
                yield _zip_members(file, infos), sum(info.file_size for info in infos)
        else:
            with _decompressed(archive) as stream:
                tar = tarfile.open(fileobj=stream, mode="r:", tarinfo=_StrictHeader)  # noqa: SIM115  (it holds nothing)
                yield _tar_members(tar), None


def _decompressed(archive: Path) -> IO[bytes]:
    """The content of a compressed file, by what it is and not by its name."""
    with open(archive, "rb") as file:
        start = file.read(6)
    opener = next((found for magic, found in _COMPRESSIONS.items() if start.startswith(magic)), None)
    if opener is None:
        return open(archive, "rb", buffering=_BUFFER)
    return io.BufferedReader(opener(archive), _BUFFER)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise what the readers of archives raise as Damaged."""
    try:
        yield
    except _DAMAGE as error:
        raise Damaged(str(error) or type(error).__name__) from error
    except OSError as error:
        if error.errno is None:  # bz2 and gzip speak of bad data so
            raise Damaged(str(error)) from error
        raise


def _refuse_parts(archive: Path) -> None:
    """Damaged where the zip is one part of several: its central directory starts on another disk."""
    with open(archive, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LONGEST_COMMENT))
        tail = file.read()
    end = tail[tail.rfind(_END_OF_ZIP) :]
    if len(end) >= 22 and end.startswith(_END_OF_ZIP):
        disk, first = int.from_bytes(end[4:6], "little"), int.from_bytes(end[6:8], "little")
        if (disk or first) and disk != 0xFFFF:
            raise Damaged("it spans several disks (parts): repack it on a single disk")


def _zip_members(file: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> Iterator[Member]:
    for info in infos:
        if info.flag_bits & 1:
            raise Damaged(f"{info.filename!r} in it is encrypted: repack it without a password")
        kind = _zip_kind(info)
        read = _Reader(file, info)
        target = read().decode("utf-8", "surrogateescape") if kind == LINK and info.file_size < 4096 else ""
        name = info.filename
        if "\\" in name and "/" not in name:  # made on Windows by what knows no better
            name = name.replace("\\", "/")
        yield Member(name, kind, info.file_size, target, read, read.open)


def _zip_kind(info: zipfile.ZipInfo) -> str:
    mode = info.external_attr >> 16 if info.create_system == 3 else 0  # 3: Unix
    if stat.S_ISLNK(mode):
        return LINK
    if info.is_dir():
        return FOLDER
    return FILE if stat.S_IFMT(mode) in (0, stat.S_IFREG) else DEVICE


class _Reader:
    """Reads one member of a zip."""

    def __init__(self, file: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self._file = file
        self._info = info

    def __call__(self) -> bytes:
        return self._file.read(self._info)

    def open(self) -> IO[bytes]:
        return self._file.open(self._info)


def _tar_members(tar: tarfile.TarFile) -> Iterator[Member]:
    while (info := tar.next()) is not None:
        # (TarFile remembers all that it saw: a gigabyte for a million members. Hard links are resolved elsewhere.)
        tar.members = []  # type: ignore[attr-defined]
        if info.isreg():
            kind = FILE
        elif info.isdir():
            kind = FOLDER
        elif info.issym():
            kind = LINK
        else:
            kind = HARD_LINK if info.islnk() else DEVICE
        content, stream = functools.partial(_tar_content, tar, info), functools.partial(_tar_stream, tar, info)
        yield Member(info.name, kind, info.size if kind == FILE else 0, info.linkname, content, stream)


def _tar_stream(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(info)
    if stream is None:
        raise Damaged(f"{info.name!r} in it is not a file")
    return stream


def _tar_content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    if info.issparse():
        return _tar_stream(tar, info).read()
    assert tar.fileobj is not None
    # It stands there already; with what pads the content, it then stands at the next header.
    content = tar.fileobj.read(-(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
    if len(content) < info.size:
        raise Damaged(f"it ends inside of {info.name!r}")
    return content[: info.size]


class _StrictHeader(tarfile.TarInfo):
    """A header that is damaged, missing or absurd ends the reading with an error instead of in silence."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> _StrictHeader:
        if not buf:
            raise tarfile.ReadError("it ends without the mark of a tar's end: it is empty or cut off")
        plain = cls._plain(buf, encoding, errors)
        if plain is not None:
            return plain
        try:
            header = super().frombuf(buf, encoding, errors)
        except (tarfile.TruncatedHeaderError, tarfile.InvalidHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"a header in it cannot be read ({error})") from error
        if header.size < 0 or (header.type in _EXTENSIONS and header.size > _LARGEST_EXTENSION):
            raise tarfile.ReadError(f"a header in it says that it is {header.size} bytes long")
        return header

    @classmethod
    def _plain(cls, buf: bytes, encoding: str, errors: str) -> _StrictHeader | None:
        """A file or folder with a short name, as most are, four times as quickly; None for all else."""
        if len(buf) != tarfile.BLOCKSIZE or buf[156] not in b"05" or buf[345]:
            return None
        checksum, size = buf[148:156].rstrip(b" \0"), buf[124:136].rstrip(b" \0")
        if not checksum.isdigit() or not size.isdigit():
            return None
        try:
            if int(checksum, 8) != sum(buf) - sum(buf[148:156]) + 8 * 0x20:
                return None
            content_bytes = int(size, 8)
        except ValueError:
            return None
        header = cls(buf[:100].split(b"\0", 1)[0].decode(encoding, errors))
        header.type = buf[156:157]
        header.size = content_bytes
        if header.type == tarfile.DIRTYPE:
            header.name = header.name.rstrip("/")
        return header
