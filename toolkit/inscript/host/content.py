"""What is on a host by content: snapshots, and folders that are sent (environments, interpreters, inputs)."""

import base64
import fcntl
import os
import shutil
from typing import Any, Dict, List, Optional

from toolkit.inscript import workcopy
from toolkit.inscript.files import read_json, write_json, write_text
from toolkit.inscript.host.layout import Layout

_SIGNATURE = ".toolkit-signature.json"  # beside an input: what it was when it was sent


class Store:
    """Says what is missing, and takes it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._claims: Dict[str, int] = {}  # locks of what the other side is sending, by path

    def missing(self, asked: Dict[str, Any]) -> Dict[str, Any]:
        """What of a run's content is not here; {} where all is. One look a content, however large it is."""
        found: Dict[str, Any] = {}
        snapshot = asked.get("snapshot")
        if snapshot and not os.path.exists(workcopy.manifest_path(self._layout.snapshots, snapshot)):
            found["snapshot"] = snapshot
        prefix = asked.get("prefix")
        if prefix and not os.path.exists(os.path.join(self._layout.prefix(prefix["key"]), prefix["marker"])):
            found["prefix"] = prefix["key"]
        stale = [one["key"] for one in asked.get("inputs", ()) if not self._is_current(one)]
        if stale:
            found["inputs"] = stale
        return found

    def _is_current(self, wanted: Dict[str, Any]) -> bool:
        known = read_json(self._layout.content("input", wanted["key"]) + _SIGNATURE, {})
        return bool(known.get("signature") == wanted["signature"])

    # -- snapshots ------------------------------------------------------------------------------------------------

    def add_manifest(self, asked: Dict[str, Any]) -> Dict[str, Any]:
        """Take the manifest of a snapshot once all its contents are here; else say which are not.

        The answer is {"blobs": [sha256, …]}, empty when the snapshot is whole now.
        """
        store = self._layout.snapshots
        for name in ("blobs", "manifests", "staging"):
            os.makedirs(os.path.join(store, name), 0o700, exist_ok=True)
        sizes = {str(name): int(size) for name, size in asked["sizes"].items()}
        wanted = [name for name, size in sizes.items() if _size(workcopy.blob_path(store, name)) != size]
        if not wanted:
            write_text(workcopy.manifest_path(store, asked["snapshot"]), asked["text"], 0o400)
        return {"blobs": wanted, "folder": store}

    def add_piece(self, asked: Dict[str, Any]) -> None:
        """Take a piece of a content; it is put in place with the last one."""
        store, name = self._layout.snapshots, str(asked["sha256"])
        staging = os.path.join(store, "staging", "%s-%d" % (name, os.getpid()))
        descriptor = os.open(staging, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as file:  # two runs may send the same at once: each piece has its place
            file.seek(asked["at"])
            file.write(base64.b64decode(asked["base64"]))
            done = file.tell() >= asked["of"]
        path = workcopy.blob_path(store, name)
        if done and _size(path) == asked["of"]:  # the other was quicker
            os.unlink(staging)
        elif done:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            os.chmod(staging, 0o400)
            os.rename(staging, path)

    # -- folders --------------------------------------------------------------------------------------------------

    def claim(self, asked: Dict[str, Any]) -> Dict[str, Any]:
        """Give the other side a folder to send a content to: {"folder": PATH}, or {"busy": True} while others do.

        What an earlier one has left there stays: only the rest has to be sent. `below` is a path from / on, made in it.
        """
        final = self._layout.content(asked["kind"], asked["key"])
        staging = final if asked["kind"] == "input" else os.path.join(self._layout.staging, os.path.basename(final))
        os.makedirs(os.path.dirname(staging), 0o700, exist_ok=True)
        os.makedirs(os.path.dirname(final), 0o700, exist_ok=True)
        lock = os.open(staging + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held by another run of this connection as well
        except OSError:
            os.close(lock)
            return {"busy": True}
        self._claims[final] = lock
        folder = staging + str(asked.get("below") or "")
        os.makedirs(folder, 0o700, exist_ok=True)
        return {"folder": folder}

    def finish(self, asked: Dict[str, Any]) -> Dict[str, Any]:
        """A content was sent: {"folder": PATH}, where it is from now on. With `failed`, only let go of it."""
        final = self._layout.content(asked["kind"], asked["key"])
        if not asked.get("failed"):
            if asked["kind"] == "input":
                write_json(final + _SIGNATURE, {"signature": asked["signature"]})
            else:
                self.put_in_place(final)
        self.release(final)
        return {"folder": final}

    def put_in_place(self, final: str) -> None:
        """Rename what was sent to where it belongs; what is broken there goes."""
        if os.path.exists(final):
            broken = "%s.broken-%d" % (final, os.getpid())
            os.rename(final, broken)
            shutil.rmtree(broken, ignore_errors=True)
        os.rename(os.path.join(self._layout.staging, os.path.basename(final)), final)

    def release(self, final: str) -> None:
        lock = self._claims.pop(final, None)
        if lock is not None:
            os.close(lock)


def _size(path: str) -> Optional[int]:
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def folders_below(path: str) -> List[str]:
    """The folders in a folder; [] where it is none."""
    try:
        return sorted(name for name in os.listdir(path) if os.path.isdir(os.path.join(path, name)))
    except OSError:
        return []
