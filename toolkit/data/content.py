"""What is in a data set, as one hash: of the names and bytes of its files.

Bytes are read once: a file that has the size and time that it had is not read again. Where there is too much to read,
or the files are elsewhere, their sizes and marks (times, ETags) stand for the bytes, and the hash says so.
"""

import hashlib
import os
import time
from typing import Any, Callable, Dict, List, Optional

from toolkit.data.files import DataFile, files_of
from toolkit.inscript.files import read_json, write_json
from toolkit.inscript.workspace_directory import WorkspaceDirectory

READ_BYTES = 4 * 10**9  # new bytes that are read for one hash, at most
SETTLED_NS = 2 * 10**9  # a file that was just changed may change again within the same tick of the clock

Progress = Callable[[float, float], None]


def content_of(
    definition: Dict[str, Any],
    shared: WorkspaceDirectory,
    progress: Optional[Progress] = None,
    files: Optional[List[DataFile]] = None,
) -> str:
    """The hash of a data set: `sha256:…` of its bytes, or `listing:…` of sizes and marks."""
    found = files_of({**definition, "file_steps": []}, shared) if files is None else files
    cache = os.path.join(shared.datasets, "content", hashlib.sha256(repr(_key(definition)).encode()).hexdigest()[:32])
    known: Dict[str, List[Any]] = read_json(cache + ".json", {})
    new = [file for file in found if not _is_known(file, known)]
    total = sum(file.entry.size for file in new)
    if any(file.local is None for file in found) or total > READ_BYTES:
        return "listing:" + _digest((file.name, str(file.entry.size), file.entry.mark) for file in found)
    done = 0
    fresh = False
    for file in new:
        known[str(file.local)] = [file.entry.size, file.entry.mark, _hash_file(str(file.local))]
        fresh = True
        done += file.entry.size
        if progress is not None:
            progress(done, total)
    content = "sha256:" + _digest((file.name, known[str(file.local)][2]) for file in found)
    if fresh:
        _keep(cache + ".json", known, found)
    return content


def _key(definition: Dict[str, Any]) -> List[Any]:
    return [sorted(source.items()) for source in definition["sources"]]


def _is_known(file: DataFile, known: Dict[str, List[Any]]) -> bool:
    return known.get(str(file.local), [])[:2] == [file.entry.size, file.entry.mark]


def _keep(path: str, known: Dict[str, List[Any]], files: List[DataFile]) -> None:
    settled = time.time() * 1e9 - SETTLED_NS
    kept = {
        str(file.local): known[str(file.local)]
        for file in files
        if file.entry.mark.isdigit() and int(file.entry.mark) < settled
    }
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        write_json(path, kept)
    except (OSError, ValueError):  # a full disk, or names that are no text
        pass  # the next one reads the files again


def _hash_file(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        chunk = file.read(1 << 20)
        while chunk:
            digest.update(chunk)
            chunk = file.read(1 << 20)
    return digest.hexdigest()


def _digest(parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        for text in part:
            digest.update(text.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()
