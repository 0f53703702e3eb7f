"""What the settings of a compute target may hold, each with the sentence that says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_VOLUME = re.compile(r"/[^:]*(:/[^:]+)?(:(ro|rw))?")


def size_in_bytes(text: object) -> int:
    """Bytes of a size as Docker writes it: "512m", "8g", a plain number of bytes. Units are powers of 1024.

    Raises:
        ValueError: it is none.
    """
    match = _SIZE.fullmatch(str(text).strip())
    if match is None or isinstance(text, bool):
        raise ValueError(f"{text!r} is not a size, as in 8g")
    return int(float(match[1]) * 1024 ** _UNITS[match[2].lower()])


@dataclass(frozen=True)
class Setting:
    """A setting: whether a value can be taken, and what can."""

    accepts: Callable[[object], bool]
    says: str


def _whole(least: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def _size(value: object) -> bool:
    try:
        return size_in_bytes(value) > 0
    except ValueError:
        return False


def _volumes(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and _VOLUME.fullmatch(one) for one in value)


COMMON = {
    "type": Setting(_text, "the kind of the target"),
    "slots": Setting(_whole(1), "a whole number, 1 or more: how many runs go at once"),
    "shares": Setting(_text, "the name of the target whose slots are used"),
    "gpus": Setting(_whole(1), "a whole number, 1 or more: the GPUs that each run has for itself"),
}
CONTAINER = {
    "engine": Setting(_text, "the address of a container engine, as in unix:///var/run/docker.sock"),
    "base_image": Setting(_text, "an image, as in debian:bookworm-slim"),
    "network": Setting(_text, "host, bridge, none or the name of a network of the engine"),
    "memory": Setting(_size, "a size, as in 8g"),
    "cpus": Setting(_positive, "a number above 0, as in 2.5"),
    "shm_size": Setting(_size, "a size, as in 2g"),
    "volumes": Setting(_volumes, "a list of folders, as in [/data, /scratch:/scratch:rw]"),
}
