"""Freezes a source directory into a content-addressed snapshot.

    store/blobs/ab/cdef…        contents by their sha256, each once for all snapshots
    store/manifests/<id>.json   the files of a snapshot (the format is in `toolkit.inscript.workcopy`)
    store/index/<source>.json   what was seen of each file of a source directory last time, so that an unchanged file
                                is not read again: a cache, may be deleted at any time
    store/staging/              files on their way into the store

A snapshot's id is made from its manifest: the same files have the same id, wherever and whenever. Whatever is written
is renamed into place, contents before the manifest that names them, so that an interruption leaves nothing that is
believed, and any number of snapshots may be taken at once. As in git, empty directories are not part of a snapshot.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import SnapshotException, storage_errors
from toolkit.inscript import workcopy
from toolkit.snapshots import ignore
from toolkit.snapshots.freeze import Freezer
from toolkit.snapshots.limit import over_the_limit
from toolkit.snapshots.store import Store
from toolkit.snapshots.survey import Survey, survey


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


def take(
    source_directory: str | os.PathLike[str],
    store: Path,
    *,
    limit_bytes: int,
    exclude: Iterable[os.PathLike[str]] = (),
    progress: Callable[[int, int], None] | None = None,
    needed: str | None = None,
) -> Snapshot:
    """Freeze `source_directory` into `store`, reading only what changed since the last time.

    Args:
        store: the workspace's folder of snapshots; it is created where it is missing.
        limit_bytes: the most that all files together may have; 0 for no limit.
        progress: called with the bytes that are done and those that there are, now and then.
        exclude: absolute paths that are left out whatever the ignore files say: the workspace, the toolkit's home.
        needed: a path in `source_directory` that the snapshot must hold: the script.

    Raises:
        UserErrorException: there is no such folder.
        SnapshotException: it is over the limit, or `needed` is left out (nothing is read or written then), or a file
            cannot be read.
        StorageError: the disk is full or read-only, or the store may not be written.
    """
    began = time.perf_counter()
    found = survey(source_directory, [*exclude, store])
    if limit_bytes and found.bytes > limit_bytes:
        raise SnapshotException(over_the_limit(found, limit_bytes))
    if needed is not None and not _holds(found, os.fsencode(os.path.normpath(needed))):
        raise SnapshotException(
            f"{needed} is in source_directory {ignore.printable(found.root)}, but a snapshot leaves it out: a line of "
            f"an ignore file ({ignore.ignore_file(found.root)}) says so, or it lies in a folder that is always left "
            f"out (environments, caches). Mend that line, or add the line '!{needed}' below it."
        )
    with storage_errors("Cannot write the snapshot", store):
        blobs = Store(os.fspath(store))
        freezer = Freezer(found, blobs, progress)
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


def _holds(found: Survey, path: bytes) -> bool:
    """Whether a snapshot has the path, itself or by way of a link inside."""
    below_link = any(path == link or path.startswith(link + b"/") for link, _ in found.links)
    return below_link or any(path == file for file, _ in found.files)


def restore(store: Path, snapshot_id: str, destination: Path) -> None:
    """Make a working copy of a snapshot in `destination`: see `toolkit.inscript.workcopy.materialise`.

    Raises:
        ToolkitError: there is no such snapshot, or it is damaged.
        StorageError: the disk is full or read-only, or `destination` may not be written.
    """
    with storage_errors("Cannot write the working copy", destination):
        workcopy.materialise(os.fspath(store), snapshot_id, os.fspath(destination))
