"""A figure: what was measured, of us and of one peer, and whether the goal is met."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Check = Callable[[float, "float | None"], "bool | None"]  # of ours and the peer's; None where it cannot be told


@dataclass(frozen=True)
class Goal:
    """What a figure has to reach: in words, and as a check."""

    text: str
    check: Check = field(repr=False)


def at_most(limit: float, unit: str) -> Goal:
    """Ours alone decides."""
    return Goal(f"ours <= {limit:g} {unit}", lambda ours, peer: ours <= limit)


def at_most_more(margin: float, unit: str) -> Goal:
    """Ours may be `margin` over the peer's."""
    return Goal(f"ours <= peer + {margin:g} {unit}", _with_peer(lambda ours, peer: ours <= peer + margin))


def at_most_times(factor: float) -> Goal:
    """Ours may be `factor` times the peer's: for what should be small."""
    text = "ours <= peer" if factor == 1 else f"ours <= {factor:g} x peer"
    return Goal(text, _with_peer(lambda ours, peer: ours <= factor * peer))


def at_least_times(factor: float) -> Goal:
    """Ours must be `factor` times the peer's: for what should be large."""
    return Goal(f"ours >= {factor:g} x peer", _with_peer(lambda ours, peer: ours >= factor * peer))


def _with_peer(check: Callable[[float, float], bool]) -> Check:
    return lambda ours, peer: None if peer is None else check(ours, peer)


@dataclass(frozen=True)
class Line:
    """One figure against one peer, as it is printed.

    Attributes:
        ours, peer: medians in `unit`; None where there is no number, and `note` says why.
        also: a further condition of the goal, such as a module that must not be imported.
    """

    what: str
    ours: float | None
    peer: float | None
    peer_name: str
    unit: str
    goal: Goal
    note: str = ""
    also: bool = True

    @property
    def ratio(self) -> float | None:
        """Ours divided by the peer's, for every figure."""
        return None if self.ours is None or not self.peer else self.ours / self.peer

    @property
    def met(self) -> bool | None:
        """None where the peer has no number and the goal needs one. Without a number of ours it is not met."""
        if self.ours is None or not self.also:
            return False
        return self.goal.check(self.ours, self.peer)

    def as_json(self, group: str) -> str:
        """The line for standard output."""
        document: dict[str, Any] = {
            "group": group,
            "what": self.what,
            "ours": _rounded(self.ours),
            "peer": _rounded(self.peer),
            "peer_name": self.peer_name,
            "unit": self.unit,
            "ratio": _rounded(self.ratio),
            "goal": self.goal.text,
            "met": self.met,
        }
        if self.note:
            document["note"] = self.note
        return json.dumps(document, ensure_ascii=False)


def _rounded(value: float | None) -> float | None:
    """Four significant digits: more would be noise."""
    return None if value is None else float(f"{value:.4g}")
