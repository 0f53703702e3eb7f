"""A run directory here that mirrors the one where the run is: the frames of `toolkit.inscript.changes`, applied."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from typing import Any

from toolkit.errors import ToolkitError
from toolkit.inscript import attempts, logged_run, spool
from toolkit.inscript.changes import GROWING_FOLDERS, OF_SCRIPT, OUTPUTS, RELATIVES, piece_of
from toolkit.inscript.rundir import RunDirectory
from toolkit.targets.base import Phase
from toolkit.targets.launched import SILENT_SECONDS

_PART = ".toolkit-part"  # no name that a script gives
_FETCHED_PART = ".rsync-part"  # the folder of a file that is just fetched, by `ssh.transfer`
# What the other side may write here. It is not asked where: a path that leads elsewhere is refused.
_RECORDS = ("started.json", "script.json", "exit.json", "children.txt")
_FOLDERS = ("azureml-logs/", "spool/", "artifacts/", "work/outputs/", "work/logs/", "data/outputs/", "children/")
_MORE_FOLDERS = ("attempts/", "requests/")
_OF_RELATIVES = ("spool", "artifacts")  # what it may write to an ancestor of the run
_OF_SCRIPT = tuple(f"{folder}/" for folder in OF_SCRIPT)


class BrokenMirror(ToolkitError):
    """A frame cannot be applied: something before it is missing, or it is damaged. Asking anew mends it."""


class Mirror:
    """The run directory on this side."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run

    def sizes(self) -> dict[str, int]:
        """How many bytes of each growing file are here, for `Changes`, and in the first attempt of each output."""
        found = {}
        outputs = () if attempts.count(self.run) else OUTPUTS
        for folder in (*GROWING_FOLDERS, "work/logs", "children", *outputs):
            for parent, folders, names in os.walk(os.path.join(self.run.root, folder)):
                folders[:] = [name for name in folders if name != _FETCHED_PART]
                for name in names:
                    path = os.path.join(parent, name)
                    with suppress(OSError):  # it went meanwhile, or is a link that leads nowhere
                        found[os.path.relpath(path, self.run.root)] = os.stat(path).st_size
        for run_id, run in logged_run.ancestors(self.run).items():
            for name in spool.files(run.spool):
                found[f"{RELATIVES}/{run_id}/spool/{name}"] = os.stat(os.path.join(run.spool, name)).st_size
        return found

    def apply(self, frame: dict[str, Any]) -> None:
        """Do what a frame says. The same frames once more lead to the same.

        Raises:
            BrokenMirror: it is damaged or leads elsewhere, or frames before it are missing.
            OSError: the disk here is full; what is here stays right, and the frame may be applied again.
        """
        if "beat" in frame:
            with open(self.run.heartbeat, "ab"):
                os.utime(self.run.heartbeat, None)  # by the clock here: the other may go wrong
            return
        path = self._path(str(frame.get("path")))
        name = str(frame["path"])
        if name.startswith(_OF_SCRIPT) and os.path.exists(self.run.exit):
            return  # all has come: an old frame would bring back for a moment what was deleted
        if frame.get("gone"):
            self._delete(name)
            return
        try:
            at, piece = int(frame["at"]), piece_of(frame)
        except (KeyError, ValueError) as error:
            raise BrokenMirror(f"a frame of the run {self.run.id} is damaged: {error!r}") from error
        part = path + _PART
        if name.startswith(f"{RELATIVES}/"):
            part = f"{path}.{self.run.id}{_PART}"  # several children may upload the same
            if not _can_be_made(path):
                return  # nor could the script here: the parent has a folder of that name, or a file in its place
        else:
            self._make_way(path)
        if "of" not in frame:
            _append(path, at, piece)
            return
        if at == 0 and os.path.exists(part):
            os.unlink(part)
        if at and not os.path.exists(part):
            if os.path.exists(path):
                return  # a later piece of a file that is here already
            raise BrokenMirror(f"the beginning of {frame['path']} is missing")
        _append(part, at, piece)
        if at + len(piece) >= int(frame["of"]):
            os.replace(part, path)

    def _path(self, name: str) -> str:
        inside = os.path.normpath(name) == name and not os.path.isabs(name) and not name.startswith("..")
        known = name in _RECORDS or name.startswith((*_FOLDERS, *_MORE_FOLDERS))
        if inside and name.startswith(f"{RELATIVES}/"):
            _, run_id, folder, *rest = [*name.split("/"), "", ""]
            ancestor = logged_run.ancestors(self.run).get(run_id)
            if ancestor is not None and folder in _OF_RELATIVES and rest[0]:
                return os.path.join(ancestor.root, *name.split("/")[2:])
        if not inside or not known:
            raise BrokenMirror(f"the other side of the run {self.run.id} names a file that is not of its: {name!r}")
        return os.path.join(self.run.root, name)

    def _delete(self, name: str) -> None:
        """Delete a file of the script, and the folders that have nothing else."""
        if not name.startswith(_OF_SCRIPT):
            raise BrokenMirror(f"the other side of the run {self.run.id} says that {name!r} is gone, which never goes")
        path = os.path.join(self.run.root, name)
        for one in (path, path + _PART):
            with suppress(FileNotFoundError, NotADirectoryError):
                if not os.path.isdir(one):
                    os.unlink(one)
        folder = os.path.dirname(name)
        with suppress(OSError):  # one that is not empty stays
            while folder not in OF_SCRIPT:
                os.rmdir(os.path.join(self.run.root, folder))
                folder = os.path.dirname(folder)

    def _make_way(self, path: str) -> None:
        """Let a file be written to `path`: what was a file there and is a folder now, or the reverse, goes."""
        folder = os.path.dirname(path)
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            while not os.path.lexists(folder):
                folder = os.path.dirname(folder)
            os.unlink(folder)
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        if os.path.isdir(path):
            shutil.rmtree(path)

    def phase(self, gone: bool = False) -> Phase:
        """The phase of the run by what is here.

        Args:
            gone: the engine says that nothing of the run is there any more, and all that it left has come.
        """
        run = self.run
        if os.path.exists(run.exit):
            return Phase.ENDED
        if gone:
            return Phase.LOST
        if not os.path.exists(run.script):
            return Phase.WAITING
        try:
            silent = time.time() - os.stat(run.heartbeat).st_mtime > SILENT_SECONDS
        except FileNotFoundError:
            return Phase.RUNNING
        return Phase.SILENT if silent else Phase.RUNNING


def _can_be_made(path: str) -> bool:
    """Make the folder of a file. False where something is in the way."""
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        return False
    return not os.path.isdir(path)


def _append(path: str, at: int, piece: bytes) -> None:
    """Bring the bytes `piece` to offset `at` of a file that grows, as far as they are not there."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        if at > size:
            raise BrokenMirror(f"{os.path.basename(path)} is here up to byte {size}, and more came from byte {at} on")
        rest = piece[size - at :]
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)
