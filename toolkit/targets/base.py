"""The contract of a compute target: five methods. What users touch is written once, on top of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Protocol

from toolkit.errors import ToolkitError
from toolkit.gpus import Gpu
from toolkit.inscript.files import read_json, write_json
from toolkit.inscript.rundir import RunDirectory


class LaunchError(ToolkitError):
    """The engine did not take the run; the message says why."""


class NotYet(Exception):
    """The run cannot be launched in this moment: it stays queued, and is tried again when the agent looks next.

    The message says why, as in "sending the environment, 40 %"; "" where a person need not know.

    Args:
        others_wait: whether runs behind it in the same pool have to wait as well.
    """

    def __init__(self, reason: str, others_wait: bool = False) -> None:
        super().__init__(reason)
        self.others_wait = others_wait


@dataclass(frozen=True)
class Job:
    """A run that is ready to be started, as the agent knows it.

    Attributes:
        definition: what was submitted.
        environment: what the run got for its environment: `python`, and `image` where it runs in one.
        variables: what MLflow's client in the script is told.
        gpus: the GPUs that are leased to the run.
    """

    run: RunDirectory
    definition: dict[str, Any]
    environment: dict[str, Any]
    variables: dict[str, str]
    gpus: list[Gpu] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """What exactly is started for a run, as it stands in `plan.json`. Printing it is a dry run.

    Attributes:
        command: the program and its arguments; `$NAME` in them is expanded where the script starts.
        environment: variables that are set for the script.
        path_prefixes: folders put in front of variables such as PATH, by name.
        snapshot: `{"store", "id"}` of the sources, or None.
        data: what the launcher does for inputs and outputs; see `toolkit.data.provide`.
        container: what the engine is asked for, as docker's `containers.create` takes it; {} for a process.
        request: what another engine is asked for, in its own words.
        max_seconds: the longest the script may run; 0 for no limit.
        grace_seconds: between TERM and KILL.
        wake: the named pipe that wakes the agent.
        keep_environ: whether the submitter's variables are kept for another attempt, as the agent sets it.
    """

    run: RunDirectory = field(compare=False)
    command: list[str]
    environment: dict[str, str]
    path_prefixes: dict[str, list[str]] = field(default_factory=dict)
    snapshot: dict[str, str] | None = None
    data: list[dict[str, Any]] = field(default_factory=list)
    container: dict[str, Any] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    max_seconds: float = 0
    grace_seconds: float = 10
    wake: str = ""
    keep_environ: bool = False

    def save(self) -> None:
        write_json(self.run.plan, {key: value for key, value in asdict(self).items() if key != "run"})

    @classmethod
    def load(cls, run: RunDirectory) -> Plan | None:
        """The plan that was saved for `run`, or None where it has none yet."""
        saved: dict[str, Any] | None = read_json(run.plan)
        return cls(run=run, **saved) if saved else None


@dataclass(frozen=True)
class Handle:
    """A run that an engine has taken: plain data, rebuilt from the run directory after a crash.

    Attributes:
        root: the run directory.
        engine_id: the engine's own name for it (a pid, a container id, a job id).
    """

    root: str
    engine_id: str = ""

    @property
    def run(self) -> RunDirectory:
        return RunDirectory(self.root)


class Phase(Enum):
    """What an engine knows of a run that it was given."""

    WAITING = "waiting"  # the engine has it and has not started it
    RUNNING = "running"
    SILENT = "silent"  # it should beat and does not; it may come back
    ENDED = "ended"  # the exit record is there
    LOST = "lost"  # it is gone and left no exit record


class ComputeTarget(Protocol):
    """Where runs go. Every target passes `tests/contract` unchanged."""

    name: str
    pool: str  # whose slots a run takes
    slots: int
    gpus: int  # how many of this machine's a run gets for itself, by the agent's lease; 0 where an engine gives them
    queues: bool  # the engine has a queue of its own, in which a run that it has taken may wait

    def prepare(self, job: Job) -> Plan:
        """The exact plan for a run. Pure: starts and writes nothing."""
        ...

    def launch(self, plan: Plan) -> Handle:
        """Give the plan to the engine; returns once the engine has it. Launching twice starts the script once.

        Raises:
            LaunchError: the engine refused.
            EngineUnreachable: the engine does not answer; tried again for a while.
            NotYet: something has to be done first, and is being done; tried again.
        """
        ...

    def poll(self, handles: Iterable[Handle]) -> dict[Handle, Phase]:
        """The phase of each run, in one call to the engine for all of them."""
        ...

    def logs(self, handle: Handle, offset: int) -> bytes:
        """The driver log from byte `offset` on, as far as it is written."""
        ...

    def cancel(self, handle: Handle, grace: float) -> None:
        """End the run's whole process tree: TERM, `grace` seconds, KILL. Idempotent; 0 seconds kills at once."""
        ...
