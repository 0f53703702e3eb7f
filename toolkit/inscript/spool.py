"""The spool: what scripts log, as JSON lines in the run directory, one file a process.

A line is one `write()` to the kernel, so it survives a SIGKILL of the process that logged it. Nothing here raises
into the script: while a disk refuses, lines wait in memory and follow when there is room.
"""

import atexit
import collections
import itertools
import json
import os
import threading
import time
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional, Tuple

from toolkit.inscript.values import warn_once

WAITING_LINES = 100000  # how many lines are kept in memory while the disk refuses
RETRY_SECONDS = 1.0


class _Json:
    """A value whose representation is its JSON."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        return json.dumps(self._value)


class Spool:
    """Appends records to this process's own file in `folder`; safe for threads and for forks."""

    def __init__(self, folder: str, on_create: Optional[Callable[[], None]] = None) -> None:
        self.folder = folder
        self._on_create = on_create
        self._pid = 0  # the process that the descriptor belongs to
        self._owner = os.getpid()  # the process that the waiting lines belong to
        self._descriptor = -1
        self._names: Dict[str, bytes] = {}
        self._steps: Dict[str, Iterator[int]] = {}
        self._waiting: Deque[bytes] = collections.deque(maxlen=WAITING_LINES)
        self._retry_at = 0.0
        self._flushes_at_exit = False
        self._lock = threading.Lock()

    def metric(self, name: str, value: object, step: Optional[int] = None) -> None:
        """Append one scalar; `step` counts up by itself, per name, where it is not given."""
        if step is None:
            try:
                step = next(self._steps[name])
            except KeyError:
                step = next(self._steps.setdefault(name, itertools.count()))
        else:
            self._steps[name] = itertools.count(step + 1)
        try:
            quoted = self._names[name]
        except KeyError:
            quoted = self._names.setdefault(name, json.dumps(name).encode("ascii"))
        if type(value) is not float or value - value != 0.0:  # a finite float is as JSON writes it
            value = _Json(value)
        self.append(
            b'{"kind":"metric","name":%b,"step":%d,"time":%a,"value":%a}\n' % (quoted, step, time.time(), value)
        )

    def series(self, kind: str, name: str, value: Any, length: int) -> None:
        """Append a list or a table of `length` rows; rows count on from one record to the next, per name."""
        first = next(self._steps.setdefault(name, itertools.count()))
        self._steps[name] = itertools.count(first + length)
        self.record(kind, name=name, step=first, value=value)

    def record(self, kind: str, **fields: object) -> None:
        """Append one record of another kind."""
        record: Dict[str, Any] = {"kind": kind, "time": round(time.time(), 6)}
        record.update(fields)
        try:
            line = json.dumps(record)
        except (TypeError, ValueError):
            line = json.dumps(record, default=repr, skipkeys=True)
        self.append(line.encode("ascii") + b"\n")

    def append(self, line: bytes) -> None:
        """Hand one line to the kernel, or keep it until the disk takes it."""
        try:
            if self._pid != os.getpid():
                self._open()
            if self._waiting:
                self._append_waiting(line)
                return
            written = os.write(self._descriptor, line)
            if written != len(line):
                self._keep(line[written:], "the disk took only a part")
        except OSError as error:
            self._keep(line, error.strerror or str(error))

    def flush(self) -> None:
        """Try to write what still waits. What is written is in the kernel's hands already."""
        if not self._waiting or self._owner != os.getpid():
            return
        self._retry_at = 0.0
        try:
            if self._pid != os.getpid():
                self._open()
        except OSError:
            return
        self._append_waiting(None)

    def _open(self) -> None:
        if self._owner != os.getpid():  # a fork: what waits is the parent's to write, and a thread of it had the lock
            self._lock = threading.Lock()
            self._waiting.clear()
            self._owner = os.getpid()
        with self._lock:
            if self._pid == os.getpid():
                return
            if not os.path.isdir(self.folder):
                os.makedirs(self.folder, 0o700, exist_ok=True)
            if self._on_create is not None:
                self._on_create()
                self._on_create = None
            name = "%s-%d-%s.jsonl" % (os.uname().nodename, os.getpid(), os.urandom(4).hex())
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._descriptor = os.open(os.path.join(self.folder, name), flags, 0o600)
            self._pid = os.getpid()

    def _keep(self, line: bytes, reason: str) -> None:
        with self._lock:
            self._waiting.append(line)
            self._retry_at = time.time() + RETRY_SECONDS
            if not self._flushes_at_exit:
                self._flushes_at_exit = True
                atexit.register(self.flush)
        warn_once(
            "spool",
            "cannot write metrics to %s: %s. The script goes on; up to %d lines wait in memory and are written as "
            "soon as there is room" % (self.folder, reason, WAITING_LINES),
        )

    def _append_waiting(self, line: Optional[bytes]) -> None:
        with self._lock:
            if line is not None:
                self._waiting.append(line)
            if time.time() < self._retry_at:
                return
            try:
                while self._waiting:
                    written = os.write(self._descriptor, self._waiting[0])
                    if written == len(self._waiting[0]):
                        self._waiting.popleft()
                    else:
                        self._waiting[0] = self._waiting[0][written:]
            except OSError:
                self._retry_at = time.time() + RETRY_SECONDS


def files(folder: str) -> List[str]:
    """The spool files of a run, sorted by name."""
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(".jsonl"))
    except OSError:
        return []


def read_from(path: str, offset: int, limit: int = 1 << 20) -> Tuple[List[Dict[str, Any]], int]:
    """The records of one spool file from byte `offset` on, and the offset behind the last whole line.

    At most about `limit` bytes are read. A line that does not parse (torn by a full disk) is passed over.
    """
    with open(path, "rb") as file:
        file.seek(offset)
        content = file.read(limit)
        if content and b"\n" not in content:
            content += file.readline()
    end = content.rfind(b"\n") + 1
    records = []
    for line in content[:end].splitlines():
        try:
            record = json.loads(line.decode("utf-8", "replace"))
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records, offset + end


def read_all(folder: str) -> List[Dict[str, Any]]:
    """Every record of a run, in the order of time."""
    names = files(folder)
    records: List[Dict[str, Any]] = []
    for name in names:
        path = os.path.join(folder, name)
        offset = 0
        while True:
            more, after = read_from(path, offset)
            if after == offset:
                break
            records.extend(more)
            offset = after
    if len(names) > 1:
        records.sort(key=lambda record: record.get("time", 0.0))
    return records
