"""Copying many files to a datastore and back, with the lines that Azure ML SDK v1 printed."""

import os
import sys
from typing import Callable, Iterable, List, Optional, Tuple

from toolkit.data.locations import Entry, Location
from toolkit.data.patterns import checked
from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.values import warn_once

Say = Callable[[str], None]
Pair = Tuple[str, str]  # a file of this machine, its path in the datastore


def speaker(show_progress: bool) -> Say:
    """Prints lines, or nothing."""

    def say(line: str) -> None:
        if show_progress:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    return say


def files_below(folder: str) -> List[Pair]:
    """Every file below `folder`, and its path relative to it. What is no file, a broken link say, is left out and said.

    Raises:
        UserErrorException: there is no such folder.
    """
    if not os.path.isdir(folder):
        raise UserErrorException("there is no folder '%s' to upload (looked in %s)" % (folder, os.getcwd()))
    pairs: List[Pair] = []
    left_out: List[str] = []
    for path, folders, files in os.walk(folder, followlinks=False):
        folders.sort()
        left_out.extend(full for full in (os.path.join(path, name) for name in folders) if os.path.islink(full))
        for name in sorted(files):
            full = os.path.join(path, name)
            if os.path.isfile(full):
                pairs.append((full, os.path.relpath(full, folder).replace(os.sep, "/")))
            else:
                left_out.append(full)
    if left_out:
        warn_once(
            "upload " + folder,
            "%s %s left out: links to folders, broken links, pipes and the like are not uploaded"
            % (", ".join(left_out[:3]) + (" …" if left_out[3:] else ""), "are" if left_out[1:] else "is"),
        )
    return pairs


def files_named(files: Iterable[str], relative_root: Optional[str]) -> List[Pair]:
    """The files, each with its path relative to `relative_root`, by default the folder that all lie in.

    Raises:
        UserErrorException: one is not there, or lies outside `relative_root`.
    """
    if isinstance(files, (str, bytes)):
        raise UserErrorException("files must be a list of paths, as in ['data/a.csv'], not %r" % (files,))
    paths = [os.path.abspath(os.path.expanduser(os.fspath(path))) for path in files]
    for path in paths:
        if not os.path.isfile(path):
            raise UserErrorException("'%s' does not point to a file. Please give paths of files to upload" % path)
    if not paths:
        return []
    folders = [os.path.dirname(path) for path in paths]
    root = os.path.abspath(relative_root) if relative_root else os.path.commonpath(folders)
    pairs = []
    for path in paths:
        relative = os.path.relpath(path, root).replace(os.sep, "/")
        if relative.startswith("../"):
            raise UserErrorException("'%s' is not below relative_root '%s'" % (path, relative_root))
        pairs.append((path, relative))
    return pairs


def upload(location: Location, pairs: List[Pair], target: str, overwrite: bool, say: Say) -> int:
    """Copy files below the folder `target` of a location. Returns how many were copied."""
    say("Uploading an estimated of %d files" % len(pairs))
    done = 0
    for source, name in pairs:
        path = checked("/".join([target, name]))
        if not overwrite and location.file(path) is not None:
            say("Target already exists. Skipping upload for %s" % path)
            continue
        say("Uploading %s" % source)
        location.put(source, path)
        done += 1
        say("Uploaded %s, %d files out of an estimated total of %d" % (source, done, len(pairs)))
    say("Uploaded %d files" % done)
    return done


def download(location: Location, entries: List[Entry], target: str, overwrite: bool, say: Say) -> int:
    """Copy files into the folder `target` of this machine, under their whole paths. Returns how many were copied."""
    done = 0
    for entry in entries:
        path = os.path.join(target, *checked(entry.path).split("/"))
        if os.path.exists(path) and not overwrite:
            say("Path already exists. Skipping download for %s" % path)
            continue
        say("Downloading %s" % entry.path)
        location.get(entry.path, path)
        done += 1
        say("Downloaded %s, %d files out of an estimated total of %d" % (entry.path, done, len(entries)))
    return done
