"""Freezes a source directory into a content-addressed snapshot.

    store/blobs/ab/cdef…        contents by their sha256, each once for all snapshots
    store/manifests/<id>.json   the files of a snapshot (the format is in `toolkit.inscript.workcopy`)
    store/index/<source>.json   what was seen of each file of a source directory last time, so that an unchanged file
                                is not read again: a cache, may be deleted at any time
    store/staging/              files on their way into the store

A snapshot's id is made from its manifest: the same files have the same id, wherever and whenever. Whatever is written
is renamed into place, contents before the manifest that names them, so that an interruption leaves nothing that is
believed, and any number of snapshots may be taken at once. As in git, empty directories are not part of a snapshot.

A file is trusted to be unchanged while its size, times and inode are. That needs the clock of the source's file
system; a file that changed just before it was looked at is read again next time (git calls it racy).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from toolkit import ignore
from toolkit.errors import SnapshotException, UserErrorException, storage_errors
from toolkit.inscript import workcopy

__all__ = ["Snapshot", "Survey", "restore", "survey", "take"]

_CHUNK = 1 << 20  # bytes; a larger file goes through the disk piece by piece
_ATTEMPTS = 3  # to read a file that is being written to
_TICK_NS = 20_000_000  # the kernel's clock of files moves every 1 to 10 ms
_COARSE_TICK_NS = 2_000_000_000  # FAT counts in two seconds, other file systems in one
_STALE_S = 86_400  # staging files of killed processes are deleted after a day
_DOMINANT = 0.9  # a directory is worth opening in the table of large paths where one child has this share
_ROWS = 10
_MB = 1_000_000  # bytes, as in `snapshot_limit_mb`
_INDEX_FORMAT = 1

_Entry: TypeAlias = "dict[str, Any]"  # of a manifest, as `toolkit.inscript.workcopy` has it


@dataclass(frozen=True)
class Snapshot:
    """What `take` did. `warnings` names what was left out, and why."""

    id: str
    files: int
    bytes: int
    new_files: int
    read_files: int
    warnings: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Survey:
    """What a snapshot of a source directory would hold: its plan.

    Paths are bytes relative to `root`; sizes in bytes. A link's target is relative to the link.
    """

    root: bytes
    files: Sequence[tuple[bytes, os.stat_result]]
    links: Sequence[tuple[bytes, bytes]]
    warnings: tuple[str, ...]
    started_ns: int

    @property
    def bytes(self) -> int:
        return sum(status.st_size for _, status in self.files)


def survey(source_directory: str | os.PathLike[str], exclude: Iterable[os.PathLike[str]] = ()) -> Survey:
    """List what a snapshot would hold: the arguments and errors are those of `take`.

    No content is read but that of ignore files.
    """
    started_ns = time.time_ns()
    root = _root(source_directory)
    real_root = os.path.realpath(root)
    files: list[tuple[bytes, os.stat_result]] = []
    links: list[tuple[bytes, bytes]] = []
    warnings: list[str] = []
    for path, entry in ignore.walk(root, [os.fsencode(one) for one in exclude]):
        try:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                files.append((path, status))
            elif stat.S_ISLNK(status.st_mode):
                links.append((path, _inner_target(real_root, path)))
            else:
                warnings.append(f"{ignore.printable(path)} was left out: it is {_kind(status.st_mode)}.")
        except FileNotFoundError:
            warnings.append(_gone(path))
        except _Outside as outside:
            warnings.append(str(outside))
        except OSError as error:
            raise SnapshotException(
                f"{ignore.printable(entry.path)} cannot be looked at: {error.strerror}. Mend the owner or mode of "
                "its folder, or name that in the ignore file of source_directory."
            ) from error
    return Survey(root, files, links, tuple(warnings), started_ns)


def _root(source_directory: str | os.PathLike[str]) -> bytes:
    root = os.path.abspath(os.fsencode(source_directory))
    if os.path.isdir(root):
        return root
    what = "is not a directory" if os.path.lexists(root) else "does not exist"
    raise UserErrorException(
        f"source_directory {os.fspath(source_directory)!r} {what} (looked at {ignore.printable(root)}): "
        "give the folder that holds the script."
    )


class _Outside(Exception):
    """A symbolic link that leads out of the source directory."""


def _inner_target(real_root: bytes, path: bytes) -> bytes:
    """The target of a link, relative to the link. Raises `_Outside`.

    A target that is absolute, or that goes out and comes in again, would not hold in a copy: it is written anew.
    """
    folder, name = os.path.split(path)
    real_folder = os.path.realpath(os.path.join(real_root, folder))
    target = os.readlink(os.path.join(real_folder, name))
    resolved = os.path.realpath(os.path.join(real_folder, target))
    if not os.path.join(resolved, b"").startswith(os.path.join(real_root, b"")):
        raise _Outside(
            f"{ignore.printable(path)} was left out: it links out of the source directory, "
            f"to {ignore.printable(target)}."
        )
    lexical = os.path.normpath(os.path.join(folder, target))
    if os.path.isabs(target) or lexical == b".." or lexical.startswith(b"../"):
        return os.path.relpath(resolved, real_folder)
    return target


def _kind(mode: int) -> str:
    kinds = {stat.S_IFSOCK: "a socket", stat.S_IFIFO: "a named pipe"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def take(
    source_directory: str | os.PathLike[str],
    store: Path,
    *,
    limit_bytes: int,
    exclude: Iterable[os.PathLike[str]] = (),
) -> Snapshot:
    """Freeze `source_directory` into `store`, reading only what changed since the last time.

    Args:
        store: the workspace's folder of snapshots; it is created where it is missing.
        limit_bytes: the most that all files together may have; 0 for no limit.
        exclude: absolute paths that are left out whatever the ignore files say: the workspace, the toolkit's home.

    Raises:
        UserErrorException: there is no such folder.
        SnapshotException: it is over the limit (nothing is read or written then), or a file cannot be read.
        StorageError: the disk is full or read-only, or the store may not be written.
    """
    began = time.perf_counter()
    found = survey(source_directory, [*exclude, store])
    if limit_bytes and found.bytes > limit_bytes:
        raise SnapshotException(_over_the_limit(found, limit_bytes))
    with storage_errors("Cannot write the snapshot", store):
        blobs = _Store(os.fspath(store))
        freezer = _Freezer(found, blobs)
        entries = freezer.freeze()
        snapshot_id = blobs.add_manifest(entries)
        freezer.remember()
        blobs.sweep()
    return Snapshot(
        id=snapshot_id,
        files=len(entries),
        bytes=freezer.bytes,
        new_files=blobs.new,
        read_files=freezer.read_files,
        warnings=found.warnings + tuple(freezer.warnings),
        seconds=time.perf_counter() - began,
    )


def restore(store: Path, snapshot_id: str, destination: Path) -> None:
    """Make a working copy of a snapshot in `destination`: see `toolkit.inscript.workcopy.materialise`.

    Raises:
        ToolkitError: there is no such snapshot, or it is damaged.
        StorageError: the disk is full or read-only, or `destination` may not be written.
    """
    with storage_errors("Cannot write the working copy", destination):
        workcopy.materialise(os.fspath(store), snapshot_id, os.fspath(destination))


class _Store:
    """Writes into the store, everything whole or not at all."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.new = 0  # contents that were not there before
        self._staging = f"{root}/staging/{os.getpid()}-{os.urandom(6).hex()}"
        self._staged = 0
        for name in ("staging", "blobs", "manifests", "index"):
            os.makedirs(f"{root}/{name}", mode=0o700, exist_ok=True)

    def has(self, sha256: str, size: int) -> bool:
        """Whether the content is there. One that a power cut left short is not, and gets written again."""
        try:
            return os.stat(workcopy.blob_path(self.root, sha256)).st_size == size
        except FileNotFoundError:
            return False

    def add(self, sha256: str, content: bytes) -> None:
        if not self.has(sha256, len(content)):
            self._write(workcopy.blob_path(self.root, sha256), content)
            self.new += 1

    def add_large(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Store a content piece by piece: its sha256, and its size in bytes."""
        digest, size = hashlib.sha256(), 0
        staging, descriptor = self._stage()
        try:
            try:
                for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
                    _write_all(descriptor, chunk)
            finally:
                os.close(descriptor)
            sha256 = digest.hexdigest()
            if not self.has(sha256, size):
                self._place(staging, workcopy.blob_path(self.root, sha256))
                self.new += 1
        finally:
            with suppress(FileNotFoundError):
                os.unlink(staging)
        return sha256, size

    def add_manifest(self, entries: list[_Entry]) -> str:
        """Store the list of a snapshot's files: the snapshot's id, which is made from it."""
        manifest = {"entries": entries, "format": workcopy.FORMAT}
        content = json.dumps(manifest, separators=(",", ":")).encode("ascii")
        digest = hashlib.sha256(content).hexdigest()
        snapshot_id = "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
        path = workcopy.manifest_path(self.root, snapshot_id)
        if not (os.path.exists(path) and os.path.getsize(path) == len(content)):
            self._write(path, content)
        return snapshot_id

    def index(self, name: str) -> dict[str, list[int | str]]:
        """What was seen of a source directory last time, by path: `_signature`, and the sha256."""
        try:
            with open(f"{self.root}/index/{name}.json", encoding="ascii") as file:
                known = json.load(file)
            return dict(known["files"]) if known["format"] == _INDEX_FORMAT else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def add_index(self, name: str, source: str, seen: dict[str, list[int | str]]) -> None:
        content = json.dumps({"format": _INDEX_FORMAT, "source": source, "files": seen}, separators=(",", ":"))
        self._write(f"{self.root}/index/{name}.json", content.encode("ascii"))

    def sweep(self) -> None:
        """Delete what killed processes left on its way, once it is old enough to be nobody's."""
        with os.scandir(f"{self.root}/staging") as leftovers:
            for leftover in leftovers:
                with suppress(FileNotFoundError):
                    if leftover.stat().st_mtime < time.time() - _STALE_S:
                        os.unlink(leftover.path)

    def _stage(self) -> tuple[str, int]:
        self._staged += 1
        staging = f"{self._staging}-{self._staged}"
        return staging, os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)

    def _write(self, path: str, content: bytes) -> None:
        staging, descriptor = self._stage()
        try:
            try:
                _write_all(descriptor, content)
            finally:
                os.close(descriptor)
            self._place(staging, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(staging)
            raise

    @staticmethod
    def _place(staging: str, path: str) -> None:
        try:
            os.rename(staging, path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            os.rename(staging, path)


def _write_all(descriptor: int, content: bytes) -> None:
    written = os.write(descriptor, content)
    while written < len(content):  # a full disk takes a part first, and raises at the next attempt
        content = content[written:]
        written = os.write(descriptor, content)


class _Freezer:
    """Brings the files of a survey into the store."""

    def __init__(self, found: Survey, store: _Store) -> None:
        self.read_files = 0
        self.bytes = 0
        self.warnings: list[str] = []
        self._found = found
        self._store = store
        self._index = hashlib.sha256(os.path.realpath(found.root)).hexdigest()[:32]
        self._known = store.index(self._index)
        self._seen: dict[str, list[int | str]] = {}

    def freeze(self) -> list[_Entry]:
        """The entries of the manifest, sorted by path, with every content in the store."""
        frozen = (self._file(path, status) for path, status in self._found.files)
        entries = [entry for entry in frozen if entry]
        for path, target in self._found.links:
            entries.append({"path": _text(path), "mode": "120000", "target": _text(target)})
        return sorted(entries, key=lambda entry: entry["path"])

    def remember(self) -> None:
        """Keep what was seen for the next time."""
        if self._seen != self._known:
            self._store.add_index(self._index, _text(self._found.root), self._seen)

    def _file(self, path: bytes, status: os.stat_result) -> _Entry | None:
        name, size = _text(path), status.st_size
        known = self._known.get(name)
        if known and known[:4] == _signature(status) and self._store.has(str(known[4]), size):
            sha256 = str(known[4])
            self._seen[name] = known
        else:
            try:
                sha256, size = self._read(path)
            except _Gone:
                self.warnings.append(_gone(path))
                return None
        self.bytes += size
        mode = "100755" if status.st_mode & stat.S_IXUSR else "100644"
        return {"path": name, "sha256": sha256, "size": size, "mode": mode}

    def _read(self, path: bytes) -> tuple[str, int]:
        """Store the content of a file: its sha256, and its size in bytes."""
        descriptor = self._open(path)
        self.read_files += 1
        try:
            for _ in range(_ATTEMPTS):
                before = os.fstat(descriptor)
                sha256, size = self._store_content(descriptor, before.st_size, path)
                if size == before.st_size and _signature(os.fstat(descriptor)) == _signature(before):
                    if not _is_racy(before, self._found.started_ns):
                        self._seen[_text(path)] = [*_signature(before), sha256]
                    return sha256, size
                os.lseek(descriptor, 0, os.SEEK_SET)
        finally:
            os.close(descriptor)
        self.warnings.append(
            f"{ignore.printable(path)} kept changing while it was read: the snapshot may have it half old, half new."
        )
        return sha256, size

    def _open(self, path: bytes) -> int:
        """Open a file of the source for reading. Raises `_Gone` where it is not a file any more."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(os.path.join(self._found.root, path), flags)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
                raise _Gone from error
            raise self._unreadable(path, error) from error
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        raise _Gone

    def _store_content(self, descriptor: int, size: int, path: bytes) -> tuple[str, int]:
        if size >= _CHUNK:
            return self._store.add_large(self._chunks(descriptor, path))
        content = self._pull(descriptor, size + 1, path)
        if len(content) != size:
            content += b"".join(self._chunks(descriptor, path))
        sha256 = hashlib.sha256(content).hexdigest()
        self._store.add(sha256, content)
        return sha256, len(content)

    def _chunks(self, descriptor: int, path: bytes) -> Iterator[bytes]:
        while chunk := self._pull(descriptor, _CHUNK, path):
            yield chunk

    def _pull(self, descriptor: int, size: int, path: bytes) -> bytes:
        try:
            return os.read(descriptor, size)
        except OSError as error:
            raise self._unreadable(path, error) from error

    def _unreadable(self, path: bytes, error: OSError) -> SnapshotException:
        return SnapshotException(
            f"The file {ignore.printable(os.path.join(self._found.root, path))} cannot be read: {error.strerror}. "
            f"Mend its owner or mode, or add {_line(path)!r} to {_ignore_file(self._found)}."
        )


class _Gone(Exception):
    """A file that was there when the directory was listed, and is not any more."""


def _gone(path: bytes) -> str:
    return f"{ignore.printable(path)} was left out: it went away while the snapshot was taken."


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _signature(status: os.stat_result) -> list[int | str]:
    """What tells that a file is still the one that was read."""
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _is_racy(status: os.stat_result, looked_at_ns: int) -> bool:
    """Whether the file could change after it was read, and its times stay what they are."""
    coarse = status.st_ctime_ns % 1_000_000_000 == 0
    return status.st_ctime_ns >= looked_at_ns - (_COARSE_TICK_NS if coarse else _TICK_NS)


def _over_the_limit(found: Survey, limit_bytes: int) -> str:
    sizes, children = _tree(found)
    rows = sorted((_dominant(path, sizes, children) for path in children[b""]), key=lambda path: -sizes[path])
    # A name without a slash counts in every directory: anchor it where that would hit something else as well.
    deeper = {os.path.basename(path) for path in sizes if b"/" in path}
    table = []
    for path in rows[:_ROWS]:
        line = ("/" if path in deeper else "") + _line(path) + ("/" if path in children else "")
        table.append(f"  {_megabytes(sizes[path]):>12}  {line}")
    return "\n".join(
        [
            f"Your total snapshot size exceeds the limit of {limit_bytes / _MB:g} MB: source_directory "
            f"{ignore.printable(found.root)} has {_megabytes(found.bytes)} in {len(found.files):,} files. The largest:",
            *table,
            f"Add the lines of what the script does not need to {_ignore_file(found)}.",
            "Or raise the limit: snapshot_limit_mb in the workspace's workspace.yaml, 0 for none.",
        ]
    )


def _tree(found: Survey) -> tuple[dict[bytes, int], dict[bytes, set[bytes]]]:
    """The size of every file and directory, and what each directory holds; the root is b""."""
    sizes: dict[bytes, int] = defaultdict(int)
    children: dict[bytes, set[bytes]] = defaultdict(set)
    for path, status in found.files:
        while path:
            sizes[path] += status.st_size
            parent = os.path.dirname(path)
            children[parent].add(path)
            path = parent
    return sizes, dict(children)


def _dominant(path: bytes, sizes: dict[bytes, int], children: dict[bytes, set[bytes]]) -> bytes:
    """The path itself, or what it is large because of: the child, or its child, with nearly all of its size."""
    while path in children:
        largest = max(children[path], key=lambda child: (sizes[child], child))
        if sizes[largest] < _DOMINANT * sizes[path]:
            break
        path = largest
    return path


def _megabytes(size: int) -> str:
    return f"{size / _MB:,.1f} MB" if size >= _MB // 10 else f"{size / 1000:,.1f} KB"


def _line(path: bytes) -> str:
    """The line of an ignore file that means this path, and can be written in UTF-8 on one line."""
    escaped = re.sub(rb"([*?\[\\])|^([#!])|( )$", rb"\\\1\2\3", path)
    return re.sub(r"[\udc80-\udcff\r\n]", "?", _text(escaped))


def _ignore_file(found: Survey) -> str:
    """The ignore file to add a line to. A new `.amlignore` would put every `.gitignore` out of force."""
    name = ignore.ignore_file(found.root)
    path = ignore.printable(os.path.join(found.root, name.encode()))
    if name == ignore.AMLIGNORE:
        return path
    git = name.encode()
    if os.path.lexists(os.path.join(found.root, git)) or any(file.endswith(b"/" + git) for file, _ in found.files):
        return f"{path} (not to a new {ignore.AMLIGNORE}, which would replace it)"
    return f"{ignore.printable(found.root)}/{ignore.AMLIGNORE}"
