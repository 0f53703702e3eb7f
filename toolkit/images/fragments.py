"""What a package contributes to an image: tar members without their folders and without the end of an archive.

So they can be joined to layers, each of which names every folder once: engines refuse one that is named twice.

A fragment is the same on every machine: sorted, owned by root, times zero, two modes. Its parts (the files, and their
bytecode) are kept by the package's key in the store's cache:

cache/fragments/<key>.json              sizes and digests, written last: without it, there is no fragment
cache/fragments/<key>.<part>.tar        the part itself, unless it is large and is made again from its package
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from toolkit.environments.store import Store
from toolkit.errors import EnvironmentBuildError
from toolkit.inscript.files import read_json, write_text

IN_IMAGE = "/opt/env"
"""The prefix of every image: the same for all, so that a package is the same in all."""

END = bytes(2 * tarfile.BLOCKSIZE)
"""What makes an archive of fragments."""

_LARGE = 20_000_000
_BLOCK = 1 << 18
_FEW = 4
_LARGEST = 8 << 30  # of what the format has a size for


@dataclass(frozen=True)
class Entry:
    """A member of a fragment.

    Args:
        name: its path in the image, without the slash in front.
        mode: its permissions.
        source: the file on this machine; "" where `content` or `link` says what it is.
        content: its bytes, where they are not those of a file.
        link: what a symbolic link leads to.
        size: in bytes.
    """

    name: str
    mode: int = 0o644
    source: str = ""
    content: bytes = b""
    link: str = ""
    size: int = 0


@dataclass(frozen=True)
class Part:
    """A part of a package: its "content" or its "bytecode".

    Args:
        size: of its members, in bytes.
        digest: SHA-256 in hex of the archive that has this part only.
        kept: whether its members are in the cache.
        folders: all folders that its members are in.
    """

    package: str
    key: str
    kind: str
    size: int
    digest: str
    kept: bool
    folders: tuple[str, ...]

    def file(self, store: Store) -> Path:
        return store.fragments / f"{self.key}.{self.kind}.tar"


@dataclass(frozen=True)
class Fragment:
    """A package as images hold it.

    Args:
        notices: what the user should know of the package.
        conda_meta: what conda says of an installed package, apart from where it came from.
    """

    parts: tuple[Part, ...]
    notices: tuple[str, ...] = ()
    conda_meta: dict[str, Any] = field(default_factory=dict)


def entry_of(name: str, path: str) -> Entry:
    """The member `name` for a file or link on this machine."""
    state = os.lstat(path)
    if stat.S_ISLNK(state.st_mode):
        return Entry(name, 0o777, link=os.readlink(path))
    return Entry(name, 0o755 if state.st_mode & 0o111 else 0o644, path, size=state.st_size)


def blocks(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Members in pieces of some hundred kilobytes."""
    pending: list[bytes] = []
    waiting = 0
    for item in sorted(entries, key=lambda entry: entry.name):
        header = _header(item)
        pending.append(header)
        waiting += len(header)
        for piece in _content(item):
            pending.append(piece)
            waiting += len(piece)
            if waiting >= _BLOCK:
                yield from pending if len(pending) < _FEW else (b"".join(pending),)
                pending, waiting = [], 0
    if pending:
        yield b"".join(pending)


def folders(names: Iterable[str]) -> tuple[str, ...]:
    """All folders above the names, parents first."""
    found: set[str] = set()
    for name in names:
        parent = os.path.dirname(name)
        while parent and parent not in found:
            found.add(parent)
            parent = os.path.dirname(parent)
    return tuple(sorted(found))


def headers(folders: Iterable[str]) -> bytes:
    """The members for folders."""
    return b"".join(_header(Entry(folder + "/", 0o755)) for folder in folders)


def members(path: Path) -> Iterator[tuple[str, int, int]]:
    """The names of the members of a kept part, and where each begins and ends in its file."""
    with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:", ignore_zeros=True) as archive:
        for member in archive:
            end = member.offset_data + (member.size + tarfile.BLOCKSIZE - 1) // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
            yield member.name, member.offset, end


def _header(entry: Entry) -> bytes:
    """What stands before a member, as `tarfile` writes it, which takes ten times as long."""
    folder = entry.name.endswith("/")
    kind = tarfile.DIRTYPE if folder else tarfile.SYMTYPE if entry.link else tarfile.REGTYPE
    size = 0 if folder or entry.link else entry.size if entry.source else len(entry.content)
    name, link = entry.name.encode("utf-8", "surrogateescape"), entry.link.encode("utf-8", "surrogateescape")
    if max(len(name), len(link)) > tarfile.LENGTH_NAME or size >= _LARGEST:
        return _long_header(entry, kind, size)
    header = bytearray(_template(kind, entry.mode))
    header[: len(name)] = name
    header[124:136] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[157 : 157 + len(link)] = link
    header[148:155] = b"%06o\0" % sum(header)
    return bytes(header)


@lru_cache
def _template(kind: bytes, mode: int) -> bytes:
    member = tarfile.TarInfo()
    member.type, member.mode = kind, mode
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _long_header(entry: Entry, kind: bytes, size: int) -> bytes:
    member = tarfile.TarInfo(entry.name.rstrip("/"))
    member.type, member.mode, member.size, member.linkname = kind, entry.mode, size, entry.link
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _content(entry: Entry) -> Iterator[bytes]:
    size = len(entry.content)
    if entry.source:
        size = 0
        with open(entry.source, "rb", buffering=0) as file:
            while piece := file.read(_BLOCK):
                size += len(piece)
                yield piece
        if size != entry.size:
            raise EnvironmentBuildError(f"{entry.source} changed while it was read; submit again")
    else:
        yield entry.content
    if size % tarfile.BLOCKSIZE:
        yield bytes(tarfile.BLOCKSIZE - size % tarfile.BLOCKSIZE)


def read(path: Path) -> Iterator[bytes]:
    """A kept part in pieces."""
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_BLOCK):
            yield piece


def make(
    package: str, key: str, kind: str, pieces: Callable[[], Iterator[bytes]], size: int, within: tuple[str, ...],
    store: Store, keep: bool = False,
) -> Part:  # fmt: skip
    """Hash a part, and keep it unless it is large.

    Args:
        size: about how large it will be.
        within: the folders that its members are in.
        keep: whether to keep it however large it is.
    """
    digest, written = hashlib.sha256(headers(within)), 0
    kept = keep or size < _LARGE
    path = store.fragments / f"{key}.{kind}.tar"
    unfinished = path.with_suffix(f".{os.getpid()}.unfinished")
    try:
        with open(unfinished if kept else os.devnull, "wb", buffering=0) as file:
            for piece in pieces():
                digest.update(piece)
                written += len(piece)
                if kept:
                    file.write(piece)
        if kept:
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    digest.update(END)
    return Part(package, key, kind, written, digest.hexdigest(), kept, within)


def remove_unfinished(store: Store) -> None:
    """Remove what builds that died have left of parts."""
    import psutil

    for path in store.fragments.glob("*.unfinished"):
        if not psutil.pid_exists(int(path.name.split(".")[-2])):
            path.unlink(missing_ok=True)


def find(key: str, store: Store) -> Fragment | None:
    """The fragment of a package, or None where it is yet to be made."""
    try:
        document = read_json(str(store.fragments / f"{key}.json"))
    except ValueError:
        return None
    if document is None:
        return None
    parts = tuple(Part(**{**part, "folders": tuple(part["folders"])}) for part in document["parts"])
    if not all(_size(part.file(store)) == part.size for part in parts if part.kept):  # whatever became of the disk
        return None
    return Fragment(parts, tuple(document["notices"]), document["conda_meta"])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def save(key: str, fragment: Fragment, store: Store) -> None:
    """Keep what is said of a fragment; from now on it is found."""
    write_text(str(store.fragments / f"{key}.json"), json.dumps(asdict(fragment)))
