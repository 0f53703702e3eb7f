"""What is new in a run directory, as frames that a mirror of it elsewhere applies (`toolkit.targets.mirror`).

A frame is a small JSON document about one file, by its path below the run directory:

    {"path": "spool/a.jsonl", "at": 512, "text": "…"}            more of a file that grows, from byte 512 on
    {"path": "exit.json", "at": 0, "of": 96, "base64": "…"}      a piece of a whole file of 96 bytes
    {"path": "work/outputs/step-1.pt", "gone": true}             the script has deleted a file that was told before
    {"beat": 1790000000.5}                                       the launcher's last heartbeat, by the clock there

The bytes are "text" (UTF-8), "base64", or "zlib" (base64 of compressed bytes). Frames may come twice: applied
again from the first on, in their order, they lead to the same. The exit record comes last, when all else was sent.
"""

import base64
import json
import os
import stat
import zlib
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from toolkit.inscript import attempts
from toolkit.inscript.rundir import RunDirectory

PIECE_BYTES = 1 << 18
TEXT_BYTES = 4096  # longer pieces are compressed where that helps
Frame = Dict[str, Any]

# What a mirror is told of. All else stays where the run is: the working copy, inputs, checkpoints.
_RECORDS = ("started.json", "script.json")
_GROWING = ("children.txt",)
GROWING_FOLDERS = ("azureml-logs", "spool")
_GROWING_TREES = (os.path.join("work", "logs"),)
OUTPUTS = (os.path.join("work", "outputs"), os.path.join("data", "outputs"))
OF_SCRIPT = _GROWING_TREES + OUTPUTS  # what a script deletes there is deleted in the mirror
_TREES = ("artifacts", "attempts")
RELATIVES = "relatives"  # below it, by run: what the mirror writes to another run of its workspace
_END_BYTES = 64  # of what was sent of a file that grows: where others stand in their place, it was made anew


class Changes:
    """Looks at one run directory again and again, and tells what is new each time.

    Args:
        sizes: how many bytes the mirror has already of each file that grows, by path; and in the first attempt of
            each output. Of later ones nobody knows whether this machine had them.
        piece_bytes: the most that one frame carries.
    """

    def __init__(
        self, run: RunDirectory, sizes: Optional[Dict[str, int]] = None, piece_bytes: int = PIECE_BYTES
    ) -> None:
        self.run = run
        self._piece = piece_bytes
        self._sent: Dict[str, int] = dict(sizes or {})
        self._seen: Dict[str, Tuple[int, int]] = {}  # size and time of files at the last look
        self._ends: Dict[str, bytes] = {}  # the last bytes that were sent of files that grow
        self._told: Set[str] = set()  # the files of the script that the mirror has from here
        self._beat = 0.0

    def look(self) -> Iterator[Frame]:
        """What is new in the records, the logs and the metrics: cheap, and to be asked often."""
        for name in _RECORDS:
            yield from self._whole(name)
        for name in _GROWING:
            yield from self._growing(name)
        for folder in GROWING_FOLDERS:
            for name in _files(self.run.root, folder):
                yield from self._growing(name)
        try:
            beat = os.stat(self.run.heartbeat).st_mtime
        except OSError:
            return
        if beat != self._beat:
            self._beat = beat
            yield {"beat": beat}

    def look_at_all(self, last: bool = False) -> Iterator[Frame]:
        """As `look`, and what the script put out, uploaded and logged for its children; reads what has changed.

        Args:
            last: the script has ended: what it called *.tmp is no file in the making, but meant.
        """
        yield from self.look()
        for folder in OF_SCRIPT:
            names = list(_tree(self.run.root, folder, last))
            yield from self._gone(folder, names)
            for name in names:
                for frame in self._growing(name) if folder in _GROWING_TREES else self._whole(name):
                    self._told.add(name)
                    yield frame
        for folder in _TREES:
            for name in _tree(self.run.root, folder):
                yield from self._whole(name)
        for folder in ("children", RELATIVES):
            for name in _tree(self.run.root, folder):
                growing = name.endswith(".jsonl") or os.path.basename(os.path.dirname(name)) in GROWING_FOLDERS
                yield from self._growing(name) if growing else self._whole(name)

    def finish(self) -> Iterator[Frame]:
        """Everything that is left of a run whose launcher has ended, its exit record last."""
        yield from self.look_at_all(last=True)
        yield from self._whole("exit.json")

    def _gone(self, folder: str, there: List[str]) -> Iterator[Frame]:
        """The files below a folder of the script that the mirror has and that are not among those that are `there`."""
        if not os.path.isdir(os.path.join(self.run.root, os.path.dirname(folder))):
            return  # it was not the script that deleted all of the run
        told = self._told if attempts.count(self.run) else self._told.union(self._sent)
        for name in sorted(told.difference(there)):
            if name.startswith(folder + os.sep) and _was_deleted(os.path.join(self.run.root, name)):
                yield {"path": name, "gone": True}
                self._told.discard(name)
                self._sent.pop(name, None)
                self._seen.pop(name, None)
                self._ends.pop(name, None)

    def _growing(self, name: str) -> Iterator[Frame]:
        path = os.path.join(self.run.root, name)
        try:
            found = os.stat(path)
            sent = self._sent.get(name, 0)
            if found.st_size == sent and not self._was_rewritten(name, found):
                self._seen[name] = (found.st_size, found.st_mtime_ns)
                return
            if found.st_size > sent:
                with open(path, "rb") as file:
                    end = self._ends.get(name, b"")
                    file.seek(sent - len(end))
                    if file.read(len(end)) == end:
                        self._seen[name] = (found.st_size, found.st_mtime_ns)
                        piece = file.read(self._piece)
                        while piece:
                            yield frame_of(name, sent, piece)
                            sent = self._sent[name] = sent + len(piece)
                            end = self._ends[name] = (end + piece)[-_END_BYTES:]
                            piece = file.read(self._piece)
                        return
            self._seen.pop(name, None)
            yield from Changes._whole(self, name)  # not one that grows, after all
        except OSError:
            return  # it was taken away meanwhile

    def _was_rewritten(self, name: str, found: os.stat_result) -> bool:
        before = self._seen.get(name)
        return before is not None and before != (found.st_size, found.st_mtime_ns) and before[0] == found.st_size

    def _whole(self, name: str) -> Iterator[Frame]:
        path = os.path.join(self.run.root, name)
        try:
            found = os.stat(path)
            seen = (found.st_size, found.st_mtime_ns)
            if self._seen.get(name) == seen:
                return
            with open(path, "rb") as file:
                at, size, end = 0, os.fstat(file.fileno()).st_size, b""
                while True:
                    piece = file.read(min(self._piece, size - at))
                    if size and not piece:
                        return  # it was cut meanwhile: all of it again, the next time
                    yield frame_of(name, at, piece, size)
                    at, end = at + len(piece), (end + piece)[-_END_BYTES:]
                    if at >= size:
                        break
            self._seen[name] = seen
            if name in self._sent:
                self._sent[name], self._ends[name] = size, end
        except OSError:
            return


def frame_of(name: str, at: int, piece: bytes, size: Optional[int] = None, as_text: bool = True) -> Frame:
    """The frame of a piece of a file: of one that grows, or of a whole one of `size` bytes."""
    frame: Frame = {"path": name, "at": at}
    if size is not None:
        frame["of"] = size
    if as_text and len(piece) <= TEXT_BYTES:
        try:
            frame["text"] = piece.decode("utf-8")
            return frame
        except UnicodeDecodeError:
            pass
    packed = zlib.compress(piece, 1)
    if len(packed) < len(piece) * 0.9:
        frame["zlib"] = base64.b64encode(packed).decode("ascii")
    else:
        frame["base64"] = base64.b64encode(piece).decode("ascii")
    return frame


def piece_of(frame: Frame) -> bytes:
    """The bytes of a frame.

    Raises:
        ValueError: they are damaged.
    """
    if "text" in frame:
        return str(frame["text"]).encode("utf-8")
    if "zlib" in frame:
        try:
            return zlib.decompress(base64.b64decode(frame["zlib"]))
        except zlib.error as error:
            raise ValueError("a frame of %s is damaged: %s" % (frame.get("path"), error))
    return base64.b64decode(frame["base64"])


def line_of(frame: Frame) -> bytes:
    """A frame as one line of ASCII."""
    return json.dumps(frame).encode("ascii") + b"\n"


def _files(root: str, folder: str) -> List[str]:
    try:
        names = sorted(os.listdir(os.path.join(root, folder)))
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if not name.endswith(".tmp")]


def _tree(root: str, folder: str, with_temporary: bool = False) -> Iterator[str]:
    """The files below a folder, by their paths below the run directory; links to folders are not followed."""
    for parent, folders, names in os.walk(os.path.join(root, folder)):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(parent, name)
            if (with_temporary or not name.endswith(".tmp")) and os.path.isfile(path):
                yield os.path.relpath(path, root)


def _was_deleted(path: str) -> bool:
    """Whether no file is there any more; one that cannot be looked at now may be there."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
