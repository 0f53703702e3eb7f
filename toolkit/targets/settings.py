"""What the settings of a compute target may hold, each with the sentence that says so."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

DEFAULT_FOLDER = "/tmp/toolkit-runs"  # of runs, on nodes that share no disk with this machine
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
    """A setting: whether a value can be taken, and what can.

    Attributes:
        is_file: it names a file of this machine, which has to be there when the target is added. Later its runs say so:
            those that go on must not end because a disk is away for a while.
    """

    accepts: Callable[[object], bool]
    says: str
    is_file: bool = False

    def is_there(self, value: object) -> bool:
        """Whether the file that a value names can be read; True of what names none."""
        path = os.path.expanduser(str(value))
        return not self.is_file or (os.access(path, os.R_OK) and not os.path.isdir(path))


def whole(least: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def is_size(value: object) -> bool:
    try:
        return size_in_bytes(value) > 0
    except ValueError:
        return False


def _volumes(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and _VOLUME.fullmatch(one) for one in value)


RETRY_CAUSES = ("preempted", "node_lost", "timed_out", "out_of_memory")


def is_causes(value: object) -> bool:
    return isinstance(value, list) and all(one in RETRY_CAUSES for one in value)


COMMON = {
    "type": Setting(is_text, "the kind of the target"),
    "slots": Setting(whole(1), "a whole number, 1 or more: how many runs go at once"),
    "shares": Setting(is_text, "the name of the target whose slots are used"),
    "gpus": Setting(whole(1), "a whole number, 1 or more: the GPUs that each run has for itself"),
}
POLICY = {
    "max_retries": Setting(whole(0), "a whole number, 0 or more: how often a run that its machine failed is run again"),
    "retry_on": Setting(is_causes, f"a list of {', '.join(RETRY_CAUSES)}"),
}
QUEUE = {
    "max_concurrent_runs": Setting(whole(1), "a whole number, 1 or more: how many runs the engine is given at once"),
}
CONTAINER = {
    "engine": Setting(is_text, "the address of a container engine, as in unix:///var/run/docker.sock"),
    "base_image": Setting(is_text, "an image, as in debian:bookworm-slim"),
    "network": Setting(is_text, "host, bridge, none or the name of a network of the engine"),
    "memory": Setting(is_size, "a size, as in 8g"),
    "cpus": Setting(is_positive, "a number above 0, as in 2.5"),
    "shm_size": Setting(is_size, "a size, as in 2g"),
    "volumes": Setting(_volumes, "a list of folders, as in [/data, /scratch:/scratch:rw]"),
}
