"""The locks that specifications came to on this machine, by the key of what they are for."""

from __future__ import annotations

import json
import os
from typing import Any

from toolkit.environments import offered
from toolkit.environments.lock import Lock
from toolkit.environments.pip_config import without_credentials
from toolkit.environments.request import Request
from toolkit.environments.store import store
from toolkit.inscript.files import read_json, write_json


def find(key: str, image: bool = False) -> Lock | None:
    """The lock of a key; None where there is none, or its interpreter is gone.

    Args:
        image: whether it is the key of an image, whose Python is not this machine's.
    """
    place = store()
    record = read_json(str(place.spec(key)))
    document = read_json(str(place.lock(str(record["lock_hash"])))) if isinstance(record, dict) else None
    if not isinstance(document, dict):
        return None
    lock = Lock.from_dict(document)
    if lock.hash != record["lock_hash"]:  # there were credentials in it, which are not kept
        return None
    return lock if image or lock.conda or os.access(lock.python.path, os.X_OK) else None


def keep(request: Request, lock: Lock) -> None:
    """Let the request's key come to this lock from now on."""
    place = store()
    spec = offered.drop(request.specification)[0].to_dict() if request.specification else None
    write_json(str(place.lock(lock.hash)), public(lock.to_dict()))
    write_json(str(place.spec(request.key)), public({"lock_hash": lock.hash, "spec": spec, "gpu": request.gpu}))


def public(document: dict[str, Any]) -> dict[str, Any]:
    """A document as it is kept: without the credentials in its URLs."""
    kept: dict[str, Any] = json.loads(without_credentials(json.dumps(document)))
    return kept
