"""The host process: answers what the other side of an SSH connection asks, line by line, and tells what is new of runs.

A question is {"id": 7, "do": "launch", …}, answered by {"id": 7, "value": …} or {"id": 7, "error": "a sentence"}. What
nobody asked for has no id: see `toolkit.inscript.host.watching`. It keeps nothing: it may be ended at any moment, with
the connection or before, and the next one goes on from the folders.
"""

import fcntl
import json
import os
import sys
import threading
import time
from typing import Any, Callable, Dict

from toolkit.inscript.files import is_locked
from toolkit.inscript.host import content, facts, prefixes, runs
from toolkit.inscript.host.layout import WAITER, Layout
from toolkit.inscript.host.watching import Watcher

MARK = b"@toolkit-host "  # what a login script prints before it is passed over
SILENT_SECONDS = 90.0  # the other side says something every few seconds, or the connection is dead and was not closed


class Server:
    """Serves one connection."""

    def __init__(self, layout: Layout, reader: Any, writer: Any) -> None:
        self._reader, self._writer = reader, writer
        self._writing = threading.Lock()
        self._heard = time.time()
        self._layout = layout
        self._waiter = _hold(layout)
        self._watcher = Watcher(layout, self.say)
        self._store = content.Store(layout)
        self._operations: Dict[str, Callable[[Dict[str, Any]], Any]] = {
            "ping": lambda asked: None,
            "manifest": self._store.add_manifest,
            "blob": self._store.add_piece,
            "claim": self._store.claim,
            "finish": self._store.finish,
            "prefix": lambda asked: prefixes.finish(layout, self._store, asked),
            "python": lambda asked: prefixes.finish_python(layout, self._store, asked),
            "launch": self._launch,
            "watch": self._watcher.watch,
            "cancel": lambda asked: runs.cancel(asked, self._watcher.look_soon),
            "put": runs.put,
            "remove": self._remove,
            "list": lambda asked: runs.listed(layout),
        }
        self._at_once = ("ping", "manifest", "blob", "watch", "put")  # in the order in which they are asked

    def say(self, message: Dict[str, Any]) -> None:
        line = json.dumps(message).encode("ascii") + b"\n"
        with self._writing:
            try:
                self._writer.write(line)
                self._writer.flush()
            except OSError:
                os._exit(0)  # the connection is gone: runs go on without it

    def serve(self) -> None:
        """Until the connection is closed."""
        with self._writing:
            self._writer.write(MARK)
        self.say({"hello": facts.of_this(self._layout)})
        for target in (self._watcher.run, self._leave_when_silent):
            threading.Thread(target=target, daemon=True).start()
        for line in self._reader:
            self._heard = time.time()
            asked = json.loads(line.decode("ascii"))
            if asked["do"] in self._at_once:
                self._answer(asked)
            else:
                threading.Thread(target=self._answer, args=(asked,), daemon=True).start()

    def _answer(self, asked: Dict[str, Any]) -> None:
        try:
            reply = {"id": asked.get("id"), "value": self._operations[asked["do"]](asked)}
        except Exception as error:
            reply = {"id": asked.get("id"), "error": said(error)}
        if reply["id"] is not None:
            self.say(reply)

    def _launch(self, asked: Dict[str, Any]) -> Any:
        missing = self._store.missing(asked)
        if missing:
            return {"missing": missing}
        reply = runs.launch(self._layout, asked)
        if "pid" in reply:
            self._watcher.watch(asked)
        return reply

    def _remove(self, asked: Dict[str, Any]) -> Any:
        self._watcher.forget(asked["root"])
        return runs.remove(self._layout, asked["root"])

    def _leave_when_silent(self) -> None:
        while time.time() - self._heard < SILENT_SECONDS:
            time.sleep(5)
        os._exit(0)


def _hold(layout: Layout) -> int:
    """Lock the file that says that this process lives; those of processes that do not any more go."""
    os.makedirs(layout.runs, 0o700, exist_ok=True)
    for name in os.listdir(layout.workspace):
        path = os.path.join(layout.workspace, name)
        if name.startswith(WAITER) and not is_locked(path):
            os.unlink(path)
    lock = os.open(layout.waiter, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def said(error: BaseException) -> str:
    """An error as a sentence."""
    if isinstance(error, OSError) and error.strerror:
        return "%s: %s" % (error.strerror, error.filename) if error.filename else error.strerror
    return str(error) or type(error).__name__


def main(folder: str, workspace: str, inscript: str) -> None:
    """Serve the connection that standard input and output are.

    Args:
        folder: where the toolkit keeps what it has on this host.
        workspace: the folder of the other side's workspace below it.
        inscript: the folder of this package.
    """
    writer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed is no message
    os.environ.pop("TOOLKIT_RUN_DIR", None)
    Server(Layout(folder, workspace, inscript), sys.stdin.buffer, writer).serve()
