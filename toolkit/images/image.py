"""Images of environments, found by their key. On the way of every submit: standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from toolkit.environments.store import store
from toolkit.images import engine
from toolkit.inscript.files import read_json, write_json

if TYPE_CHECKING:
    from toolkit.environments.request import Request


PYTHON = "/opt/env/bin/python"
"""The interpreter of an image that was made from a lock."""

LOCK = "toolkit-lock.json"
"""The file in the image's prefix that holds its lock."""


@dataclass(frozen=True)
class Image:
    """An image that an engine has.

    Args:
        id: as the engine names it, "sha256:…": the digest of its configuration, or of its manifest.
        python: the interpreter in it.
        lock_hash: the lock that it was made from; "" for a base as it is.
        seconds: how long each phase of its build took.
    """

    id: str
    python: str
    lock_hash: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.id


def find(request: Request) -> Image | None:
    """The image of a request, or None where its engine does not have it (any more).

    Raises:
        ContainerEngineError: the engine does not answer.
    """
    try:
        record = read_json(str(store().image(request.key)))
    except ValueError:
        return None
    image_id = record["ids"].get(request.engine) if record else None
    if image_id is None or not engine.has_image(request.engine, image_id):
        return None
    return Image(image_id, record["python"], record["lock_hash"], dict(record["seconds"]))


def keep(request: Request, image: Image) -> None:
    """Note what the request came to in its engine, so that it is found from now on."""
    file = str(store().image(request.key))
    record = read_json(file, {})
    same = record.get("lock_hash") == image.lock_hash
    ids = {**(record["ids"] if same else {}), request.engine: image.id}
    write_json(file, {"ids": ids, "python": image.python, "lock_hash": image.lock_hash, "seconds": image.seconds})
