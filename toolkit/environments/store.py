"""The store of environments on this machine. `find` is on the way of every submit: standard library only.

prefixes/<lock hash>/       whole environments; the last thing written into one is its marker
specs/<key>.json            which lock a specification came to
locks/<lock hash>.json      the locks, for images and for people
images/<key>.json           which image of which engine a key came to
bases/<image id>.json       what is known of a base image
logs/<key>.txt              the build log; <key>.error.json where the last build failed
building/                   prefixes that are being made, and the files that builds lock
cache/                      conda packages, channel indexes, and what packages contribute to images (fragments.py)
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from toolkit.inscript.files import read_json
from toolkit.paths import home

MARKER = ".toolkit-environment.json"


@dataclass(frozen=True)
class Prefix:
    """An environment that can be run.

    Args:
        root: its folder.
        python: its interpreter.
        lock_hash: the lock that it was made from.
        kind: "venv" or "conda".
    """

    root: str
    python: str
    lock_hash: str
    kind: str

    def __str__(self) -> str:
        return self.root

    @property
    def bin(self) -> str:
        """The folder that goes to the front of a run's PATH."""
        return os.path.dirname(self.python)

    @property
    def seconds(self) -> dict[str, float]:
        """How long each phase of its build took, in seconds: solve, install, compile."""
        record = read_json(os.path.join(self.root, MARKER), {})
        return dict(record.get("seconds", {})) if isinstance(record, dict) else {}


@dataclass(frozen=True)
class Store:
    """The paths of a store."""

    root: Path

    @property
    def prefixes(self) -> Path:
        return self.root / "prefixes"

    @property
    def building(self) -> Path:
        return self.root / "building"

    @property
    def conda_packages(self) -> Path:
        return self.root / "cache" / "packages"

    @property
    def channel_indexes(self) -> Path:
        return self.root / "cache" / "channels"

    @property
    def fragments(self) -> Path:
        return self.root / "cache" / "fragments"

    def image(self, key: str) -> Path:
        return self.root / "images" / f"{key}.json"

    def base(self, image_id: str) -> Path:
        return self.root / "bases" / f"{image_id.removeprefix('sha256:')}.json"

    def prefix(self, lock_hash: str) -> Path:
        return self.prefixes / lock_hash

    def spec(self, key: str) -> Path:
        return self.root / "specs" / f"{key}.json"

    def lock(self, lock_hash: str) -> Path:
        return self.root / "locks" / f"{lock_hash}.json"

    def log(self, key: str) -> Path:
        return self.root / "logs" / f"{key}.txt"

    def error(self, key: str) -> Path:
        return self.root / "logs" / f"{key}.error.json"

    def make_folders(self) -> None:
        """Make the store's folders where they are missing, closed to other users."""
        named = (self.root / name for name in ("specs", "locks", "logs", "images", "bases"))
        for folder in (self.prefixes, self.building, self.fragments, *named):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def store() -> Store:
    """The store in the toolkit's home."""
    return Store(home().environments)


def find(key: str) -> Prefix | None:
    """The environment of a specification's key, or None where it is yet to be built."""
    record = _read(store().spec(key))
    return prefix_of(str(record["lock_hash"])) if record else None


def prefix_of(lock_hash: str) -> Prefix | None:
    """The whole and working prefix of a lock, or None."""
    root = str(store().prefix(lock_hash))
    record = _read(Path(root, MARKER))
    if record is None:
        return None
    python = os.path.join(root, "bin", "python")
    if not os.access(python, os.X_OK):  # a venv whose base interpreter was uninstalled
        return None
    return Prefix(root, python, lock_hash, str(record["kind"]))


def _read(path: Path) -> dict[str, object] | None:
    try:
        record = read_json(str(path))
    except (OSError, json.JSONDecodeError):
        return None
    return record if isinstance(record, dict) else None
