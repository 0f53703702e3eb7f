"""Fetching files that are not on this machine into a cache, whose folders are named by what is in them."""

import hashlib
import os
import shutil
import tempfile
import time
from typing import Callable, List

from toolkit.data.files import DataFile
from toolkit.data.locations import Entry
from toolkit.data.patterns import checked
from toolkit.inscript.errors import UserErrorException


def fetch(files: List[DataFile], cache: str, progress: Callable[[float, float], None]) -> str:
    """The folder below `cache` that holds the files under their names: the one that is there, or a new one."""
    if not files:
        raise UserErrorException("there are no files to fetch: the paths lead to nothing")
    entries = [_asked(file) for file in files]
    folder = os.path.join(cache, _key(files, entries))
    if os.path.isdir(folder):
        return folder
    os.makedirs(cache, 0o700, exist_ok=True)
    staging = tempfile.mkdtemp(prefix=".fetching-", dir=cache)
    total = sum(entry.size for entry in entries)
    done = 0
    try:
        for file, entry in zip(files, entries):
            file.location.get(file.entry.path, os.path.join(staging, *checked(file.name).split("/")))
            done += entry.size
            progress(done, total)
        try:
            os.rename(staging, folder)
        except OSError:  # somebody else was first
            if not os.path.isdir(folder):
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def _asked(file: DataFile) -> Entry:
    """The file's size and mark; of the web they are not known before its server is asked."""
    if file.entry.mark:
        return file.entry
    return file.location.file(file.entry.path) or file.entry


def _key(files: List[DataFile], entries: List[Entry]) -> str:
    digest = hashlib.sha256()
    for file, entry in zip(files, entries):
        mark = entry.mark or "fetched at %r" % time.time()  # nobody says whether it has changed: fetched anew
        parts = (file.location.url, entry.path, file.name, str(entry.size), mark)
        digest.update("\0".join(parts).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]
