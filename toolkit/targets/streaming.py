"""Follows the logs of runs on engines that share no disk with this machine; see `toolkit.inscript.streamed`.

The log of a job is a stream of lines, most of them frames of the run directory there. A few threads read the logs of
as many runs as they flow; those of further runs are read in turns, as far as they have come. Reading one again from
its beginning changes nothing, so a connection may break at any byte, and an agent may be ended and follow anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from toolkit.inscript import attempts
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.wake import wake
from toolkit.targets.mirror import BrokenMirror, Mirror

LIVE_RUNS = 48  # whose logs are read as they flow
TURN_READERS = 4  # threads for the others
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 10.0  # before a log that could not be read is tried again
TURN_SHARE = 10  # a log that takes a second to read is read again after ten
GIVE_UP_SECONDS = 30.0  # for the log of a job that has ended, when it cannot be read
WORDS_BYTES = 1 << 20  # the most that is kept of what an engine says

# Gives the bytes of a run's log from the beginning, in pieces of any size: as they come until the job has ended where
# `flowing`, else what there is now. It must give up when it hears nothing for long: an engine that is away says so by
# an exception, whichever.
OpenStream = Callable[[RunDirectory, bool], Generator[bytes, None, None]]


@dataclass
class _Followed:
    """What is known of the log of one run: all of it can be found out again by reading the log."""

    run: RunDirectory
    complete: bool = False  # the last line has come
    over: float = 0.0  # since when the engine says that the job has ended
    read_out: bool = False  # read to its end since then
    due: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    gap: tuple[object, object] | None = None
    came: int = 0  # lines of the last reading
    busy: bool = False
    dropped: bool = False
    error: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)  # of the run directory


class Followers:
    """The logs of all runs of one target.

    Args:
        open_stream: opens the log of a run.
        pipe: the named pipe that wakes the agent.
        mirror_of: makes what the frames of a run are applied to.
    """

    def __init__(
        self,
        open_stream: OpenStream,
        pipe: str,
        live: int = LIVE_RUNS,
        turns: int = TURN_READERS,
        mirror_of: Callable[[RunDirectory], Mirror] = Mirror,
    ) -> None:
        self._open = open_stream
        self._mirror_of = mirror_of
        self._pipe = pipe
        self._live, self._turns = live, turns
        self._runs: dict[str, _Followed] = {}
        self._news = threading.Condition()
        self._live_count = self._turn_count = 0

    def follow(self, run: RunDirectory) -> None:
        """Be sure that the log of this run is followed."""
        if run.root not in self._runs:
            with self._news:
                self._runs[run.root] = _Followed(run)
            self._start_reader()

    def is_complete(self, run: RunDirectory) -> bool:
        """Whether the last line of the log is here."""
        known = self._runs.get(run.root)
        return known is not None and known.complete

    def finish(self, run: RunDirectory) -> bool:
        """The engine says that the job has ended: whether all that its log has is here. Asked again until it is."""
        self.follow(run)
        known = self._runs[run.root]
        if not known.over and not known.complete:
            with self._news:
                known.dropped = True  # who reads it may wait for more for a while
                known = self._runs[run.root] = _Followed(run, over=time.monotonic(), lock=known.lock)
                self._news.notify_all()
            self._start_reader()
        return known.complete or known.read_out

    def error(self, run: RunDirectory) -> str:
        """Why the log cannot be read in this moment; "" where it can."""
        known = self._runs.get(run.root)
        return known.error if known else ""

    def forget(self, run: RunDirectory) -> None:
        """Follow it no more."""
        with self._news:
            known = self._runs.pop(run.root, None)
        if known is not None:
            with known.lock:  # a frame that is just applied would land in the next attempt
                known.dropped = True

    # -- threads --------------------------------------------------------------------------------------------------

    def _start_reader(self) -> None:
        with self._news:
            if not any(not one.busy for one in self._runs.values()):
                return
            if self._live_count < self._live:
                self._live_count += 1
                flowing = True
            elif self._turn_count < self._turns:
                self._turn_count += 1
                flowing = False
            else:
                self._news.notify()
                return
        threading.Thread(target=self._read_all, args=(flowing,), name="follow-logs", daemon=True).start()

    def _read_all(self, flowing: bool) -> None:
        """Read the log that waits longest, one after the other, until none is left."""
        while True:
            known = self._take(flowing)
            if known is None:
                return
            try:
                self._read(known, flowing)
            finally:
                with self._news:
                    known.busy = False
                    self._news.notify()

    def _take(self, flowing: bool) -> _Followed | None:
        with self._news:
            while True:
                waiting = [one for one in self._runs.values() if not one.busy and not self._is_done(one)]
                if not waiting:
                    if flowing:
                        self._live_count -= 1
                    else:
                        self._turn_count -= 1
                    return None
                first = min(waiting, key=lambda one: one.due)
                wait = first.due - time.monotonic()
                if wait <= 0:
                    first.busy = True
                    return first
                self._news.wait(min(wait, 1.0))

    @staticmethod
    def _is_done(known: _Followed) -> bool:
        return known.complete or known.read_out

    def _read(self, known: _Followed, flowing: bool) -> None:
        """Read a log once, to its end or as long as it flows."""
        over, began = known.over, time.monotonic()
        known.came = 0
        try:
            with contextlib.closing(self._open(known.run, flowing and not over)) as pieces:
                self._apply_all(known, lines_of(pieces))
            known.error = ""
            known.read_out = bool(over)
        except BrokenMirror as error:
            known.error, known.came = str(error), 1  # once more, soon: see `_apply`
        except Exception as error:  # of whatever library the engine is spoken to with
            known.error, known.came = f"{type(error).__name__}: {error}", 0  # a full disk here, say: ever less often
            known.read_out = bool(over) and time.monotonic() - over > GIVE_UP_SECONDS
        known.pause = FIRST_PAUSE_SECONDS if known.came else min(known.pause * 1.5, LONGEST_PAUSE_SECONDS)
        share = 0.0 if flowing or over else (time.monotonic() - began) * TURN_SHARE
        with self._news:
            known.due = time.monotonic() + max(known.pause, share)
        if known.complete or known.read_out:
            wake(self._pipe)

    def _apply_all(self, known: _Followed, lines: Iterator[bytes]) -> None:
        mirror, words = self._mirror_of(known.run), _Words(known.run)
        for line in lines:
            frame = _frame_of(line)
            with known.lock:
                if known.dropped:
                    return
                known.came += 1
                if frame is None:
                    words.write(line)
                elif "end" in frame:
                    known.complete = True
                    return
                else:
                    self._apply(known, mirror, frame, words)

    def _apply(self, known: _Followed, mirror: Mirror, frame: dict[str, Any], words: _Words) -> None:
        try:
            mirror.apply(frame)
        except BrokenMirror:
            place = (frame.get("path"), frame.get("at"))
            if known.gap != place:  # read anew from the beginning: what is missing may be there
                known.gap = place
                raise
            words.write(f"toolkit: the engine has lost a part of {place[0]} before byte {place[1]}\n".encode())
            _bridge(mirror, frame)
        if frame.get("path") in ("script.json", "exit.json"):
            wake(self._pipe)


def _bridge(mirror: Mirror, frame: dict[str, Any]) -> None:
    """Go on after a part that is lost: a file that grows gets blanks in its place, a whole one is given up."""
    if "of" in frame:
        return
    path = os.path.join(mirror.run.root, str(frame["path"]))
    size = os.path.getsize(path) if os.path.exists(path) else 0
    blanks = b"\n" + b" " * (int(frame["at"]) - size - 2) + b"\n"
    with contextlib.suppress(BrokenMirror):
        for at in range(0, len(blanks), 1 << 20):
            mirror.apply({"path": frame["path"], "at": size + at, "text": blanks[at : at + (1 << 20)].decode()})
        mirror.apply(frame)


def lines_of(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The lines of a stream of bytes; the last one counts where the stream ends in the ordinary way."""
    rest: list[bytes] = []
    for piece in pieces:
        head, separator, tail = piece.rpartition(b"\n")
        if separator:
            yield from b"".join([*rest, head]).split(b"\n")
            rest = []
        if tail:
            rest.append(tail)
    if rest:
        yield b"".join(rest)


class _Words:
    """What the engine says itself, in a log of its own: written anew whenever the stream is read from the beginning."""

    def __init__(self, run: RunDirectory) -> None:
        self._path = engine_log(run)
        self._written = 0
        self._kept = os.path.getsize(self._path) if os.path.exists(self._path) else 0

    def write(self, line: bytes) -> None:
        at, self._written = self._written, self._written + len(line) + 1
        if self._written <= self._kept or self._written > WORDS_BYTES:
            return
        with open(self._path, "ab") as file:
            file.write((line.rstrip(b"\r\n") + b"\n")[max(0, self._kept - at) :])
        self._kept = self._written


def _frame_of(line: bytes) -> dict[str, Any] | None:
    """The frame that a line is, or None where it is words."""
    if not line.startswith((b'{"path"', b'{"beat"', b'{"end"')):
        return None
    try:
        frame = json.loads(line)
    except ValueError:  # cut
        return None
    return frame if isinstance(frame, dict) else None


def engine_log(run: RunDirectory) -> str:
    """The log with what the engine says itself, one an attempt."""
    number = attempts.count(run)
    return os.path.join(run.logs, f"61_engine_log{f'_{number + 1}' if number else ''}.txt")
