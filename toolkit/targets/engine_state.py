"""What an engine says of a run that it was given, kept in the run's `engine.json` for people and for the run's end."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from toolkit.inscript.files import read_json, write_json
from toolkit.inscript.rundir import RunDirectory

# Why a run ended that is not its script's doing, as `max_retries` and the error of the run know it.
PREEMPTED, NODE_LOST, TIMED_OUT, OUT_OF_MEMORY = "preempted", "node_lost", "timed_out", "out_of_memory"


@dataclass(frozen=True)
class EngineState:
    """One word of the engine.

    Attributes:
        engine: what people call it, as in "Slurm".
        id: its own name for the run.
        state: in its own words, as in "PENDING".
        reason: why, in its own words, as in "Resources".
        nodes: where the run is, as it writes them.
        cause: PREEMPTED, NODE_LOST, TIMED_OUT or OUT_OF_MEMORY, where it ended the run for that; else "".
        message: a sentence for the error of a run that ended without an exit record; else "".
    """

    engine: str
    id: str = ""
    state: str = ""
    reason: str = ""
    nodes: str = ""
    cause: str = ""
    message: str = ""

    def note(self, run: RunDirectory) -> None:
        """Keep it in the run's folder, where it says something new."""
        if asdict(self) != read_json(run.engine):
            write_json(run.engine, asdict(self))

    @classmethod
    def of(cls, run: RunDirectory) -> EngineState | None:
        """What was noted last, or None."""
        noted = read_json(run.engine)
        return cls(**noted) if noted else None

    def __str__(self) -> str:
        """As in "Slurm job 17: PENDING (Resources)", or "gpu-box: sending the environment" before it has the run."""
        if not self.id:
            return f"{self.engine}: {self.reason or self.state}"
        why = f" ({self.reason})" if self.reason and self.reason != "None" else ""
        where = f" on {self.nodes}" if self.nodes else ""
        return f"{self.engine} job {self.id}: {self.state}{why}{where}"
