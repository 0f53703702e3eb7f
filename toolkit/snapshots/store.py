"""The content-addressed store of snapshots. Whatever is written is renamed into place, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TypeAlias

from toolkit.inscript import workcopy

_STALE_S = 86_400  # staging files of killed processes are deleted after a day
_INDEX_FORMAT = 1

Entry: TypeAlias = "dict[str, Any]"  # of a manifest, as `toolkit.inscript.workcopy` has it


class Store:
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

    def add_manifest(self, entries: list[Entry]) -> str:
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
        """What was seen of a source directory last time, by path: a signature, and the sha256."""
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
