"""Ours and the Dockerfiles in turn: an environment made cold, after a small change, and unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figure import Goal, Line, at_most_times
from benchmarks.images.dockerfiles import Peer
from benchmarks.images.engine import NAME, Engine
from benchmarks.images.ours import Ours
from benchmarks.images.packages import Packages
from benchmarks.interleave import in_turn, medians
from benchmarks.workers import WorkerError

OURS = "ours"
_NOT_SLOWER = at_most_times(1)


@dataclass
class Contest:
    """One environment, ours and peers'.

    Attributes:
        missing: who has no number, and why.
        notes: what is said of each by name, and of us by situation.
    """

    bench: Bench
    engine: Engine
    packages: Packages
    ours: Ours
    peers: Sequence[Peer]
    base: str
    index: str
    channel: str = ""
    missing: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def tag(self, peer: Peer) -> str:
        return f"{NAME}/{self.packages.name}:{peer.tag}"

    def context(self, peer: Peer) -> Path:
        return self.bench.scratch / f"{self.packages.name}-{peer.tag}"

    def build(self, peer: Peer, requirements: Sequence[str]) -> float:
        """Seconds for a peer's build."""
        if peer.buildkit and not self.engine.buildkit:
            raise WorkerError("no docker command on the PATH builds with BuildKit")
        self.bench.say(peer.name)
        peer.write(self.context(peer), self.base, requirements, self.channel)
        index = f"{self.index}/simple"
        arguments = {"PIP_INDEX_URL": index, "UV_DEFAULT_INDEX": index}
        return self.engine.build(self.context(peer), self.tag(peer), peer.buildkit, arguments)

    def cold(self, rounds: int, slow: Sequence[Peer] = ()) -> dict[str, float]:
        """Nothing of the image is there, neither layers nor what they are made of; the downloads are.

        Args:
            slow: peers that are measured once, and not warmed up: they keep no downloads.
        """

        def ours() -> float:
            self.bench.say(OURS)
            self.ours.forget()
            seconds = self.ours.build(self.packages.base)
            self.notes["cold"] = self.ours.said
            return seconds

        def peer(one: Peer) -> float:
            self.engine.forget(self.tag(one))
            self.engine.forget_build_cache()
            return self.build(one, self.packages.base)

        often = {one.name: partial(peer, one) for one in self.peers if one not in slow}
        values = in_turn({OURS: ours, **often}, rounds, self.missing, warm_up=1)
        values.update(in_turn({one.name: partial(peer, one) for one in slow}, 1, self.missing, warm_up=0))
        self._note_sizes()
        return medians(values)

    def changed(self, rounds: int, slow: Sequence[Peer] = ()) -> dict[str, float]:
        """The image is there, and one small package is another, each time another one."""
        changes = {name: iter(self.packages.changes) for name in (OURS, *(one.name for one in self.peers))}

        def ours() -> float:
            self.bench.say(f"{OURS}, changed")
            seconds = self.ours.build(next(changes[OURS]))
            self.notes["changed"] = self.ours.said
            return seconds

        def peer(one: Peer) -> float:
            return self.build(one, next(changes[one.name]))

        often = {one.name: partial(peer, one) for one in self.left() if one not in slow}
        values = in_turn({OURS: ours, **often}, rounds, self.missing, warm_up=0)
        rest = {one.name: partial(peer, one) for one in self.left() if one in slow}
        values.update(in_turn(rest, 1, self.missing, warm_up=0))
        return medians(values)

    def unchanged(self, rounds: int) -> dict[str, float]:
        """The image is there."""
        measures = {one.name: partial(self.build, one, self.packages.base) for one in self.left()}
        measures[OURS] = partial(self.ours.build, self.packages.base)
        return medians(in_turn(measures, rounds, self.missing, warm_up=1))

    def lines(
        self, what: str, values: dict[str, float], situation: str, goal: Goal, classic: Goal = _NOT_SLOWER
    ) -> list[Line]:  # fmt: skip
        """A line a peer.

        Args:
            situation: "cold" or "changed", for which there are notes.
            goal: against BuildKit; `classic` against the classic builder.
        """
        found = []
        for peer in self.peers:
            told = [self.missing.get(OURS) or self.missing.get(peer.name, "")]
            if situation == "cold":
                told.append(self.notes.get(peer.name, ""))
            if peer is self.peers[0] and situation in self.notes:
                told.append(f"ours: {self.notes[situation]}")
            note = "; ".join(one for one in told if one)
            wanted = goal if peer.buildkit else classic
            found.append(Line(what, values.get(OURS), values.get(peer.name), peer.name, "s", wanted, note))
        return found

    def left(self) -> list[Peer]:
        """The peers that could be measured so far."""
        return [one for one in self.peers if one.name not in self.missing]

    def _note_sizes(self) -> None:
        ours = self.engine.size(self.ours.image) / 1e6 if self.ours.image else 0.0
        self.notes["cold"] = f"image of {ours:.0f} MB with bytecode; {self.notes.get('cold', '')}"
        for peer in self.left():
            size = self.engine.size(self.tag(peer)) / 1e6
            self.notes[peer.name] = f"the peer's image: {size:.0f} MB {peer.bytecode}"
