"""What every figure is given: a scratch folder, the peers, a way to say how it goes, and how often to measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import Peers

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Bench:
    """The surroundings of a measurement.

    Attributes:
        scratch: an empty folder of this figure, removed afterwards.
        peers: installs peers and finds their interpreters.
        say: tells a person, on standard error, what goes on.
        quick: few repeats, for work on the benchmarks themselves.
    """

    scratch: Path
    peers: Peers
    say: Callable[[str], None]
    quick: bool = False

    def times(self, full: int, quick: int) -> int:
        """How often to do something."""
        return quick if self.quick else full

    def folder(self, name: str) -> Path:
        """A new folder in the scratch folder."""
        folder = self.scratch / name
        folder.mkdir(parents=True)
        return folder
