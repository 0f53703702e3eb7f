"""Conda channels: their names as rattler takes them, and whether they answer."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from toolkit.environments.pip_config import without_credentials
from toolkit.environments.requirements_file import local_path

PROBE_SECONDS = 10.0
_DEFAULTS = ("main", "r")  # what conda's "defaults" consists of
_NO_SUCH_CHANNEL = (401, 403, 404, 410)


@dataclass(frozen=True)
class Answer:
    """Whether a channel answers; `reason` says why not, and is "" where it does."""

    channel: str
    reason: str


def names(channels: tuple[str, ...]) -> tuple[str, ...]:
    """The channels in their order, with `defaults` taken apart and `nodefaults` left out; conda-forge where none is."""
    expanded: list[str] = []
    for channel in channels:
        expanded += _DEFAULTS if channel == "defaults" else [] if channel == "nodefaults" else [channel]
    return tuple(dict.fromkeys(expanded)) or ("conda-forge",)


def probe(channels: tuple[str, ...], seconds: float = PROBE_SECONDS) -> list[Answer]:
    """Ask all channels at once for their index; `seconds` bounds the whole."""
    reasons: dict[str, str] = {}

    def ask(channel: str) -> None:
        reasons[channel] = _why_not(channel, seconds)

    threads = [threading.Thread(target=ask, args=(channel,), daemon=True) for channel in channels]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [Answer(channel, reasons.get(channel, f"no answer within {seconds:.0f} s")) for channel in channels]


def _why_not(channel: str, seconds: float) -> str:
    """Why the channel cannot be used; "" where it can."""
    from rattler import Channel

    try:
        base = str(Channel(channel).base_url)
    except Exception as error:  # rattler has no common base for what it raises here
        return str(error)
    if base.startswith("file://"):
        folder = local_path(base)
        if not folder.is_dir():
            return f"the folder {folder} does not exist"
        return "" if any(folder.glob("*/repodata.json*")) else f"the folder {folder} has no repodata.json"
    request = urllib.request.Request(f"{base.rstrip('/')}/noarch/repodata.json", method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=seconds):
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        refused = error.code in _NO_SUCH_CHANNEL or error.code >= 500
        return f"HTTP status {error.code}" if refused else ""
    except (OSError, ValueError) as error:
        return without_credentials(str(getattr(error, "reason", error)))
