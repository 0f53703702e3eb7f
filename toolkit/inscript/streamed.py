"""A run on an engine that shares no disk with the machine that submitted it: its run directory goes out by its output.

`main(START)` makes a run directory in a folder of the node, has the ordinary launcher run the script in it, and prints
what is new in it to standard output, which every engine keeps as the log of the job. A line is one of:

    {"path": …} or {"beat": …}   a frame of `toolkit.inscript.changes`
    {"end": 0}                   the last one: all that there is was printed; the code that this process exits with
    anything else                words, of the engine or of this process

Whoever reads the log from its beginning has the whole run directory (`toolkit.targets.streaming`). Lines stay below
16 KB, where container runtimes cut them. START is a JSON document, made by `toolkit.targets.there`:

    run                 the id of the run
    attempt             1 for the first
    folder              where run directories are made on the node
    plan                the plan, in which MARKS stand for what lies elsewhere on every node
    sizes               how much of each growing file the reader has already, from earlier attempts
    max_output_bytes    larger outputs stay where they are, and the control log names them
    keep                whether another attempt may follow, which wants the checkpoints
"""

import ctypes
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from typing import Any, Callable, Dict, Iterator, Optional

from toolkit.inscript import attempts, processes
from toolkit.inscript.changes import Changes, Frame, frame_of, line_of
from toolkit.inscript.files import claim_json, read_json, write_json
from toolkit.inscript.launcher import memory_kills
from toolkit.inscript.rundir import RunDirectory

# MARKS. `DATA` is a folder of the node for data of scripts, which stays.
RUN, INSCRIPT, SNAPSHOT, DATA = "@toolkit-run@", "@toolkit-inscript@", "@toolkit-snapshot@", "@toolkit-data@"
LOOK_SECONDS, LOOK_AT_ALL_SECONDS = 0.05, 2.0
PIECE_BYTES = 11 * 1024  # as base64 in a line of its own below LINE_BYTES
LINE_BYTES = 16 * 1024 - 256
SMALL_BYTES = 1 << 20  # larger outputs are printed when the script has ended: each change would print all of them
_OUTPUTS = (os.path.join("work", "outputs", ""), os.path.join("data", "outputs", ""))
_LAUNCH = """\
import sys
package = type(sys)("toolkit")
package.__path__ = [sys.argv[1] + "/toolkit"]
sys.modules["toolkit"] = package
from toolkit.inscript.launcher import main
sys.exit(main(sys.argv[2]))
"""
_PR_SET_PDEATHSIG = 1


class Printed(Changes):
    """The changes of a run directory as they are printed: in small pieces, and without what is too large."""

    def __init__(self, run: RunDirectory, sizes: Dict[str, int], most: int, say: Callable[[str], None]) -> None:
        Changes.__init__(self, run, sizes, PIECE_BYTES)
        self.most = most
        self.finishing = False
        self._say = say
        self._left: Dict[str, int] = {}

    def finish(self) -> Iterator[Frame]:
        self.finishing = True
        yield from self.look_at_all(last=True)
        yield from Changes.finish(self)  # what was said about the outputs, too

    def _whole(self, name: str) -> Iterator[Frame]:
        return Changes._whole(self, name) if self._is_due(name) else iter(())

    def _is_due(self, name: str) -> bool:
        if not name.startswith(_OUTPUTS) and "artifacts" not in name.split(os.sep):
            return True
        try:
            found = os.stat(os.path.join(self.run.root, name))
        except OSError:
            return False
        if found.st_size > self.most:
            if self._left.get(name) != found.st_size:
                self._left[name] = found.st_size
                self._say(
                    "%s has %d MB, over max_output_mb of the compute target (%d): it is not carried back; let the "
                    "script write it to a place that the nodes share, or set a higher max_output_mb"
                    % (name, found.st_size >> 20, self.most >> 20)
                )
            return False
        if self.finishing or not name.startswith(_OUTPUTS):
            return True
        return found.st_size <= SMALL_BYTES and time.time() - found.st_mtime > LOOK_AT_ALL_SECONDS


class Streamed:
    """One run on this node: its directory, its launcher, and what is printed of it."""

    def __init__(self, start: Dict[str, Any], places: Dict[str, str]) -> None:
        self.start = start
        self.places = places
        self.run = RunDirectory(os.path.join(_folder(start["folder"]), start["run"]))
        self.launcher: "Optional[subprocess.Popen[bytes]]" = None
        self.stopped = False
        self._news, self._news_writer = os.pipe()
        self.changes = Printed(
            self.run, dict(start.get("sizes") or {}), int(start.get("max_output_bytes") or 1 << 62), self._say
        )

    def main(self) -> int:
        os.set_blocking(self._news_writer, False)
        signal.set_wakeup_fd(self._news_writer)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        self._make()
        kills_before = memory_kills()
        self._launch()
        try:
            self._follow()
        except BaseException:
            self._end_launcher()  # nobody reads any more
            raise
        if not os.path.exists(self.run.exit):
            self._end_leftovers()
            if memory_kills() > kills_before:
                record = {"reason": "out_of_memory", "code": None, "signal": "SIGKILL", "time": time.time()}
                claim_json(self.run.exit, record)
        emit(self.changes.finish())
        record = read_json(self.run.exit, {})
        code = exit_code(record)
        write_out(json.dumps({"end": code}).encode("ascii") + b"\n")
        self._tidy(record)
        return code

    def _make(self) -> None:
        """The run directory: new, or that of an earlier attempt in a folder that the nodes share."""
        run = self.run
        if attempts.is_halfway(run) or os.path.exists(run.started):
            attempts.set_aside(run)
        for number in range(1, int(self.start.get("attempt") or 1)):  # by which the launcher counts
            os.makedirs(os.path.join(run.attempts, str(number)), 0o700, exist_ok=True)
        os.makedirs(run.logs, 0o700, exist_ok=True)
        for name, size in (self.start.get("sizes") or {}).items():
            path = os.path.join(run.root, name)
            if name.startswith("azureml-logs") and (not os.path.exists(path) or os.stat(path).st_size < size):
                with open(path, "ab") as file:  # a hole: what is written goes on where the reader is
                    file.truncate(size)
        places = dict(self.places)
        places.update({RUN: run.root, DATA: os.path.join(os.path.dirname(run.root), "data")})
        os.makedirs(places[DATA], 0o700, exist_ok=True)
        write_json(run.definition, self.start["definition"], 0o600)
        plan = replaced(self.start["plan"], places)
        write_json(run.plan, plan, 0o600)

    def _launch(self) -> None:
        libc = ctypes.CDLL(None)

        def with_parent() -> None:  # a launcher whose log nobody prints any more ends its script
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

        with open(self.run.control_log, "ab") as log:
            self.launcher = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAUNCH, self.places[INSCRIPT], self.run.root],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.run.root,
                start_new_session=True,
                preexec_fn=with_parent,
            )
        if self.stopped:
            self._stop(signal.SIGTERM, None)

    def _follow(self) -> None:
        """Print what is new until the launcher has ended."""
        assert self.launcher is not None
        due = time.time() + LOOK_AT_ALL_SECONDS
        while self.launcher.poll() is None:
            if time.time() >= due:
                emit(self.changes.look_at_all())
                due = time.time() + LOOK_AT_ALL_SECONDS
            else:
                emit(self.changes.look())
            if select.select([self._news], [], [], LOOK_SECONDS)[0]:  # a signal: the launcher has ended, say
                os.read(self._news, 512)

    def _stop(self, number: int, frame: object) -> None:
        self.stopped = True
        if self.launcher is not None and self.launcher.poll() is None:
            self.launcher.send_signal(signal.SIGTERM)

    def _end_launcher(self) -> None:
        if self.launcher is not None and self.launcher.poll() is None:
            self.launcher.send_signal(signal.SIGTERM)
            self.launcher.wait()

    def _end_leftovers(self) -> None:
        """The launcher was ended from outside and left its script."""
        script = read_json(self.run.script, {})
        grace = float(self.start["plan"].get("grace_seconds") or 0)
        processes.end_tree(self.run.root, int(script.get("pid", -1)), grace)

    def _say(self, message: str) -> None:
        with open(self.run.control_log, "a", encoding="utf-8") as log:
            log.write("%s %s\n" % (time.strftime("%Y-%m-%d %H:%M:%S"), message))

    def _tidy(self, record: Dict[str, Any]) -> None:
        """All is printed: nothing stays on the node but what another attempt may want."""
        by_itself = record.get("reason") in ("exited", "signal", "not_started")
        if not (self.start.get("keep") and not by_itself):
            shutil.rmtree(self.run.root, ignore_errors=True)


def _folder(name: str) -> str:
    """The folder of run directories on this node; made for this user alone.

    Raises:
        OSError: somebody else has it.
    """
    folder = os.path.expandvars(os.path.expanduser(name))
    os.makedirs(folder, 0o700, exist_ok=True)
    found = os.lstat(folder)
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX or found.st_uid not in (os.getuid(), 0):
        raise OSError("%s can be changed by other users: name another folder for runs" % folder)
    return folder


def replaced(value: Any, places: Dict[str, str]) -> Any:
    """A JSON document with the marks in its texts replaced."""
    if isinstance(value, str):
        for mark, place in places.items():
            value = value.replace(mark, place)
        return value
    if isinstance(value, list):
        return [replaced(one, places) for one in value]
    if isinstance(value, dict):
        return {key: replaced(one, places) for key, one in value.items()}
    return value


def exit_code(record: Dict[str, Any]) -> int:
    """What this process exits with, for an engine that looks at nothing else: as a shell would say it."""
    if record.get("reason") == "exited":
        return int(record["code"])
    number = getattr(signal, str(record.get("signal")), None)
    return 128 + int(number) if number is not None else 1


def line(frame: Frame) -> bytes:
    """A frame as one line that no container runtime cuts."""
    made = line_of(frame)
    if len(made) > LINE_BYTES and "text" in frame:  # all escapes
        made = line_of(frame_of(frame["path"], frame["at"], frame["text"].encode("utf-8"), frame.get("of"), False))
    return made


def emit(frames: Iterator[Frame]) -> None:
    for frame in frames:
        write_out(line(frame))


def write_out(content: bytes) -> None:
    while content:
        content = content[os.write(1, content) :]


def main(start_path: str, places: Dict[str, str]) -> int:
    """Run what the document `start_path` says; `places` are the paths on this node that its marks stand for."""
    with open(start_path, encoding="utf-8") as file:
        start = json.load(file)
    return Streamed(start, places).main()
