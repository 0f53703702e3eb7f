"""Unpack an archive that nobody vouches for: all of it, inside one folder, or nothing.

Only folders and plain files are ever made, so no name can lead through a link to elsewhere; a link to a file of the
same archive becomes that file. What is unpacked is counted as it comes, whatever the headers say.
"""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from toolkit.vision.data.archive_members import DEVICE, FILE, FOLDER, HARD_LINK, Damaged, Member, members
from toolkit.vision.errors import InvalidDatasetError, ModuleOutOfMemoryError

ARCHIVE_SUFFIXES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz")
_AT_ONCE = 16 << 20  # bytes of a member that are read at once; larger ones go through in pieces
_HELD_IN_ALL = 1 << 30  # bytes of contents that are held, at most; an eighth of the memory where that is less
_PIECE = 1 << 20
_ENTRY = 512  # bytes that an entry is taken to cost, however empty it is
_LINKS_DEEP = 8  # links to links
_NOT_UNPACKED = "__MACOSX"  # what macOS adds to its archives
_REPACK = "Unpack it with a tool that you trust, look at it, and give the folder."


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to.

    Attributes:
        ratio: unpacked bytes for each packed one.
        free_bytes: as many are allowed whatever the ratio.
        entries: files, folders and links.
    """

    ratio: float = 200
    free_bytes: int = 512 << 20
    entries: int = 20_000_000


def is_archive_name(name: str) -> bool:
    """Whether the suffix is one of an archive that can be unpacked."""
    return os.path.splitext(name)[1].lower() in ARCHIVE_SUFFIXES


def unpack(
    archive: Path,
    folder: Path,
    dataset: str,
    *,
    hold: Callable[[str], bool] | None = None,
    limits: Limits | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> dict[str, bytes]:
    """Unpack a zip or a tar (plain, gzip, bzip2, xz) into a folder that does not exist yet.

    Nothing of an archive that is refused stays. What macOS adds is left out; owners, rights and times are not kept.

    Args:
        dataset: what it is called in messages.
        hold: the files, by their paths, of which the contents are returned instead of written: for those that are
            written elsewhere at once (a rename costs as much as a small file). All or, if they are too large, none.
        progress: called as progress(bytes done, bytes in all), of the archive or of what is in it.

    Returns:
        What is held, by path relative to `folder`.

    Raises:
        InvalidDatasetError: it is damaged, encrypted, one of several parts or empty; it has names that lead outside
            or twice the same place, links that leave, devices; it unpacks to more than the limits.
        ModuleOutOfMemoryError: there is less space than it needs.
    """
    archive_bytes = archive.stat().st_size
    folder.mkdir()
    try:
        writer = _Writer(folder, archive_bytes, limits or Limits(), hold)
        with members(archive) as (found, unpacked_bytes):
            _require_space(folder, archive, max(unpacked_bytes or 0, 0 if unpacked_bytes else archive_bytes))
            for number, member in enumerate(found):
                writer.add(member)
                if progress is not None and number % 500 == 0:
                    progress(writer.unpacked, max(writer.unpacked, unpacked_bytes or archive_bytes))
        writer.link()
        if not writer.files:
            raise Refused("there is no file in it: input a non-empty compressed file")
        return writer.held
    except (Refused, Damaged) as error:
        shutil.rmtree(folder)
        raise InvalidDatasetError(dataset, f"{archive.name}: {error}", _REPACK) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


class Refused(Exception):
    """Something in the archive is not unpacked, and so nothing of it is."""


class _Writer:
    """Makes files of members, and counts them.

    Attributes:
        files: how many there are, with those that are held.
        unpacked: bytes of them.
        held: contents that are not written, by path.
    """

    def __init__(self, folder: Path, packed: int, limits: Limits, hold: Callable[[str], bool] | None) -> None:
        self.files = 0
        self.unpacked = 0
        self.held: dict[str, bytes] = {}
        self._entries = 0
        self._root = str(folder)
        self._limits = limits
        self._most = max(limits.free_bytes, int(packed * limits.ratio))  # bytes, of contents and entries
        self._counted = 0
        self._hold = hold
        self._hold_bytes = min(_HELD_IN_ALL, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8)
        self._folders = {""}
        self._large: set[str] = set()  # files that are written though others are held
        self._links: dict[str, str] = {}  # path → path, both relative to the folder

    def add(self, member: Member) -> None:
        """Raises Refused; Damaged where its content is."""
        path = _inside(member.name)
        self._entries += 1
        if self._entries > self._limits.entries:
            raise Refused(f"it has more than {self._limits.entries} entries")
        self._count(_ENTRY)
        if self._counted + member.size > self._most:
            self._refuse_size()
        if path == _NOT_UNPACKED or path.startswith(f"{_NOT_UNPACKED}/"):
            self._count(member.size)
        elif member.kind == FILE:
            self._write(path, member)
        elif member.kind == FOLDER:
            self._make_folder(path)
        elif member.kind == DEVICE:
            raise Refused(f"{member.name!r} in it is neither a file nor a folder (a device, a pipe or the like)")
        else:
            self._remember_link(path, member)

    def _count(self, count: int) -> None:
        self._counted += count
        if self._counted > self._most:
            self._refuse_size()

    def _refuse_size(self) -> None:
        raise Refused(
            f"it unpacks to more than {self._most / 1e6:.0f} MB, {self._limits.ratio:g} times its own size: it looks "
            "like a bomb"
        )

    def _write(self, path: str, member: Member) -> None:
        place, _, name = path.rpartition("/")
        if not name:
            raise Refused(f"{member.name!r} in it is no name of a file")
        if place not in self._folders:
            self._make_folder(place)
        if member.size > _AT_ONCE:
            self._large.add(path)
            with member.open() as stream, self._create(path) as file:
                while piece := stream.read(_PIECE):
                    file.write(self._counted_content(piece))
            self.files += 1
        else:
            self._keep(path, self._counted_content(member.read()))

    def _keep(self, path: str, content: bytes) -> None:
        """Hold a content, or write it."""
        self.files += 1
        if self._hold is None or not self._hold(path):
            with self._create(path) as file:
                file.write(content)
            return
        if path in self.held or path in self._folders or path in self._large:
            raise _twice(path)
        self.held[path] = content
        if self.unpacked > self._hold_bytes:
            self._stop_holding()

    def _stop_holding(self) -> None:
        self._hold = None
        for path, content in self.held.items():
            with self._create(path) as file:
                file.write(content)
        self.held = {}

    def _counted_content(self, content: bytes) -> bytes:
        self._count(len(content))
        self.unpacked += len(content)
        return content

    def _create(self, path: str) -> IO[bytes]:
        """A new file; never one that is there."""
        if path in self.held and self._hold is not None:
            raise _twice(path)
        try:
            return open(f"{self._root}/{path}", "xb")
        except OSError as error:
            raise _refusal(error, path) from error

    def _make_folder(self, path: str) -> None:
        if path in self._folders:
            return
        parts = path.split("/")
        above = {"/".join(parts[:count]) for count in range(1, len(parts) + 1)}
        if not above.isdisjoint(self.held):
            raise _twice(path)
        try:
            os.makedirs(f"{self._root}/{path}", exist_ok=True)
        except OSError as error:
            raise _refusal(error, path) from error
        self._folders |= above

    def _remember_link(self, path: str, member: Member) -> None:
        """A symbolic link is relative to where it stands, a hard link to the archive."""
        start = "" if member.kind == HARD_LINK else posixpath.dirname(path)
        target = posixpath.normpath(posixpath.join(start, member.target))
        if member.target.startswith("/") or target == ".." or target.startswith("../"):
            raise Refused(f"{member.name!r} in it is a link to {member.target!r}, outside of it")
        if path in self._links:
            raise _twice(member.name)
        self._links[path] = target

    def link(self) -> None:
        """Make files of the links, now that all that they can lead to is there. Those to nothing are left out."""
        for path, first in self._links.items():
            target = first
            for _ in range(_LINKS_DEEP):
                target = self._links.get(target, target)
            if target in self.held:
                self._make_folder(posixpath.dirname(path))
                self._keep(path, self._counted_content(self.held[target]))
            elif _is_plain_file(f"{self._root}/{target}"):
                self._make_folder(posixpath.dirname(path))
                self._link_file(target, path)

    def _link_file(self, target: str, path: str) -> None:
        if path in self.held:
            raise _twice(path)
        try:
            os.link(f"{self._root}/{target}", f"{self._root}/{path}")
        except OSError as error:
            if error.errno not in (errno.EMLINK, errno.EPERM, errno.ENOTSUP):
                raise _refusal(error, path) from error
            self._count(os.path.getsize(f"{self._root}/{target}"))
            shutil.copyfile(f"{self._root}/{target}", f"{self._root}/{path}")
        self.files += 1


def _inside(name: str) -> str:
    """The path of a member relative to the folder, "" for the folder itself. Raises Refused where it leads outside."""
    if name.startswith("/") or name[1:3] in (":/", ":\\"):
        raise Refused(f"{name!r} in it is an absolute name")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise Refused(f"{name!r} in it is no valid UTF-8") from None
    if "\0" in name:
        raise Refused(f"{name!r} in it has a zero byte")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Refused(f"{name!r} in it leads outside of it")
    return "/".join(parts)


def _refusal(error: OSError, name: str) -> Exception:
    """What an error of the system says about the archive; the error itself where it is the machine's."""
    if error.errno in (errno.EEXIST, errno.EISDIR, errno.ENOTDIR):
        return _twice(name)
    if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
        return Refused(f"{name!r} in it cannot be the name of a file here ({error.strerror})")
    return error


def _twice(name: str) -> Refused:
    return Refused(f"{name!r} is in it twice, or is both a file and a folder")


def _is_plain_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _require_space(folder: Path, archive: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ModuleOutOfMemoryError(
            f"{archive.name} unpacks to {needed / 1e6:.0f} MB, and {folder.parent} has {free / 1e6:.0f} MB free"
        )
