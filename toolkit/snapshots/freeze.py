"""Brings the files of a survey into the store, reading only what changed since the last time.

A file is trusted to be unchanged while its size, times and inode are. That needs the clock of the source's file
system; a file that changed just before it was looked at is read again next time (git calls it racy).
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator

from toolkit.errors import SnapshotException
from toolkit.snapshots import ignore
from toolkit.snapshots.limit import file_to_add_to, ignore_line
from toolkit.snapshots.store import Entry, Store
from toolkit.snapshots.survey import Survey, gone, text

_CHUNK = 1 << 20  # bytes; a larger file goes through the disk piece by piece
_ATTEMPTS = 3  # to read a file that is being written to
_TICK_NS = 20_000_000  # the kernel's clock of files moves every 1 to 10 ms
_COARSE_TICK_NS = 2_000_000_000  # FAT counts in two seconds, other file systems in one


class Freezer:
    """Brings the files of a survey into the store."""

    def __init__(self, found: Survey, store: Store, progress: Callable[[int, int], None] | None = None) -> None:
        self.read_files = 0
        self.bytes = 0
        self.warnings: list[str] = []
        self._found = found
        self._total = found.bytes
        self._progress = progress
        self._store = store
        self._index = hashlib.sha256(os.path.realpath(found.root)).hexdigest()[:32]
        self._known = store.index(self._index)
        self._seen: dict[str, list[int | str]] = {}

    def freeze(self) -> list[Entry]:
        """The entries of the manifest, sorted by path, with every content in the store."""
        frozen = (self._file(path, status) for path, status in self._found.files)
        entries = [entry for entry in frozen if entry]
        for path, target in self._found.links:
            entries.append({"path": text(path), "mode": "120000", "target": text(target)})
        return sorted(entries, key=lambda entry: entry["path"])

    def remember(self) -> None:
        """Keep what was seen for the next time."""
        if self._seen != self._known:
            self._store.add_index(self._index, text(self._found.root), self._seen)

    def _file(self, path: bytes, status: os.stat_result) -> Entry | None:
        name, size = text(path), status.st_size
        known = self._known.get(name)
        if known and known[:4] == _signature(status) and self._store.has(str(known[4]), size):
            sha256 = str(known[4])
            self._seen[name] = known
        else:
            try:
                sha256, size = self._read(path)
            except _Gone:
                self.warnings.append(gone(path))
                return None
        self.bytes += size
        if self._progress is not None:
            self._progress(self.bytes, self._total)
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
                        self._seen[text(path)] = [*_signature(before), sha256]
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
            f"Mend its owner or mode, or add {ignore_line(path)!r} to {file_to_add_to(self._found)}."
        )


class _Gone(Exception):
    """A file that was there when the directory was listed, and is not any more."""


def _signature(status: os.stat_result) -> list[int | str]:
    """What tells that a file is still the one that was read."""
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _is_racy(status: os.stat_result, looked_at_ns: int) -> bool:
    """Whether the file could change after it was read, and its times stay what they are."""
    coarse = status.st_ctime_ns % 1_000_000_000 == 0
    return status.st_ctime_ns >= looked_at_ns - (_COARSE_TICK_NS if coarse else _TICK_NS)
