"""What a snapshot of a source directory would hold: looked at, not read."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from toolkit.errors import SnapshotException, UserErrorException
from toolkit.snapshots import ignore


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
            warnings.append(gone(path))
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


def gone(path: bytes) -> str:
    return f"{ignore.printable(path)} was left out: it went away while the snapshot was taken."


def text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
