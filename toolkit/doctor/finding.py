"""One thing that `toolkit doctor` looked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What was looked for.

    Attributes:
        what: its name.
        found: whether it is there.
        detail: which, where it is there.
        remedy: the one line that would add it.
    """

    what: str
    found: bool
    detail: str = ""
    remedy: str = ""
