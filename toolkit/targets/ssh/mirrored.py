"""A run that is on a host: what its host process says is applied to the run directory here."""

from __future__ import annotations

import base64
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from toolkit.errors import ToolkitError
from toolkit.inscript import attempts
from toolkit.inscript.changes import piece_of
from toolkit.inscript.rundir import RunDirectory
from toolkit.targets.base import Phase
from toolkit.targets.engine_state import NODE_LOST, EngineState
from toolkit.targets.launched import SILENT_SECONDS
from toolkit.targets.mirror import BrokenMirror, Mirror
from toolkit.targets.ssh import transfer

if TYPE_CHECKING:
    from toolkit.targets.ssh.host import Host

AGAIN_SECONDS = 1.0  # after something that could not be applied (a full disk here): then the rest is asked for anew
_NEWS = ("started.json", "script.json", "exit.json", "children.txt")


class MirroredRun:
    """One attempt of a run.

    Attributes:
        root: its folder on the host; `here` is the one on this machine.
        is_watched: the host is to say what is new: from the launch to the end.
    """

    def __init__(self, root: str, here: RunDirectory, host: Host) -> None:
        self.root = root
        self.here = here
        self.attempt = attempts.count(here) + 1
        self.is_watched = False
        self._host = host
        self._mirror = Mirror(here)
        self._gone = False
        self._to_cancel: float | None = None  # what the host could not be told
        self._since = time.time()
        self._taking = threading.RLock()
        self._held: list[dict[str, Any]] | None = None  # what waits for files that are just fetched
        self._broken = False
        self._answering: threading.Thread | None = None

    def sizes(self) -> dict[str, int]:
        return self._mirror.sizes()

    def watch_again(self) -> None:
        """Ask for what is new from what is here on; after a new connection, say."""
        if self.is_watched:
            with self._taking:
                self._held, self._broken = None, False
                self._host.tell("watch", root=self.root, sizes=self.sizes(), also=transfer.also_wanted(self.here))
            if self._to_cancel is not None:
                self.cancel(self._to_cancel)

    def cancel(self, grace: float) -> None:
        """Have the host end the run: now, or when there is a connection again."""
        told = self._host.tell("cancel", root=self.root, attempt=self.attempt, grace=grace)
        self._to_cancel = None if told else grace

    def phase(self) -> Phase:
        """The phase by what is here. Silence counts from when we began to listen."""
        found = self._mirror.phase(self._gone)
        if found is Phase.WAITING:  # its launcher lives: there is no queue of the host's
            return Phase.RUNNING
        if found is Phase.SILENT and time.time() - self._since < SILENT_SECONDS:
            return Phase.RUNNING
        return found

    def take(self, message: dict[str, Any]) -> bytes:
        """Apply what the host says; what to wake the agent with, or b""."""
        with self._taking:
            if message["attempt"] != attempts.count(self.here) + 1 or self._broken:
                return b""
            if self._held is not None:
                self._held.append(message)
                return b""
            try:
                return self._apply(message)
            except (BrokenMirror, OSError) as error:
                print(f"run {self.here.id}: {error}: asking for it again", flush=True)
                self._broken = True
                timer = threading.Timer(AGAIN_SECONDS, self.watch_again)
                timer.daemon = True
                timer.start()
                return b""

    def _apply(self, message: dict[str, Any]) -> bytes:
        if "fetch" in message:
            self._held = []
            names = [str(name) for name in message["fetch"]]
            threading.Thread(target=self._fetch, args=(names, self._held), daemon=True).start()
            return b""
        if "gone" in message:
            self._lose(str(message["gone"]))
            return b"\n"
        frame = message["frame"]
        name = str(frame.get("path", ""))
        if name.startswith("requests/"):  # small, and in one piece: with the paths of here
            text = piece_of(frame).decode("utf-8").replace(self.root, self.here.root)
            frame = {"path": name, "at": 0, "of": len(text.encode("utf-8")), "text": text}
        self._mirror.apply(frame)
        if name == "exit.json" and os.path.exists(self.here.exit):
            self.is_watched = False
        if name.startswith("requests/"):
            self._answer_soon()
            return b"request\n"
        return b"\n" if name in _NEWS else b""

    def _lose(self, why: str) -> None:
        host = self._host.address.host
        if why == "restarted":
            message = (
                f"the host '{host}' was started again while the run was on it; what had been logged and written by "
                "then is kept. Submit it again, or give the compute target max_retries"
            )
            EngineState("SSH", state="LOST", reason=why, nodes=host, cause=NODE_LOST, message=message).note(self.here)
        self._gone, self.is_watched = True, False

    def _fetch(self, names: list[str], held: list[dict[str, Any]]) -> None:
        """Fetch large files, then go on with what was said meanwhile."""
        try:
            transfer.fetch(self._host, self.root, names, self.here)
        except Exception as error:  # whatever it is: nothing of the run is applied while this is not asked for again
            print(f"run {self.here.id}: {error}", flush=True)
            time.sleep(AGAIN_SECONDS)
            self.watch_again()
            return
        with self._taking:
            if self._held is not held:
                return  # the connection was made anew meanwhile, and all is told again
            self._held = None
            news = [self.take(message) for message in held]
        if any(news):
            self._host.wake()

    # -- what its script asks of the workspace ------------------------------------------------------------------------

    def _answer_soon(self) -> None:
        if self._answering is None or not self._answering.is_alive():
            self._answering = threading.Thread(target=self._answer, daemon=True)
            self._answering.start()

    def _answer(self) -> None:
        """Bring the answers of the tracker to the host as they come, until nothing is asked any more."""
        folder = os.path.join(self.here.root, "requests")
        beats: dict[str, float] = {}
        while not (self._gone or os.path.exists(self.here.exit)):  # then nobody waits for an answer
            names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
            try:
                self._answer_all(folder, names, beats)
            except (ToolkitError, OSError) as error:  # cut in the middle: brought with the next connection
                print(f"run {self.here.id}: {error}", flush=True)
                time.sleep(AGAIN_SECONDS)
            if not any(name.endswith(".json") for name in names):
                return
            time.sleep(0.02)

    def _answer_all(self, folder: str, names: list[str], beats: dict[str, float]) -> None:
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(".work"):
                beat = _changed(path)
                if beats.get(name) != beat:
                    beats[name] = beat
                    self._put(name, b"")
            elif name.endswith(".reply.json"):
                self._bring(path)

    def _bring(self, path: str) -> None:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if self.here.root in text:  # it names files that were made for the script: those come first
            transfer.bring_folder(self._host, os.path.join(self.here.root, "azureml-models"), self.root)
            text = text.replace(self.here.root, self.root)
        if self._put(os.path.basename(path), text.encode("utf-8")):
            os.unlink(path)

    def _put(self, name: str, content: bytes) -> bool:
        encoded = base64.b64encode(content).decode("ascii")
        return self._host.tell("put", root=self.root, path=f"requests/{name}", base64=encoded)


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0
