"""The statuses of a run, and the events that tell them: one line an event, appended by the agent alone."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from toolkit.inscript.files import append_line, read_lines
from toolkit.inscript.rundir import RunDirectory

NOT_STARTED = "NotStarted"
STARTING = "Starting"
PREPARING = "Preparing"
QUEUED = "Queued"
RUNNING = "Running"
CANCEL_REQUESTED = "CancelRequested"
NOT_RESPONDING = "NotResponding"
FINALIZING = "Finalizing"
COMPLETED = "Completed"
FAILED = "Failed"
CANCELED = "Canceled"

TERMINAL = frozenset({COMPLETED, FAILED, CANCELED})


@dataclass(frozen=True)
class Event:
    """A run entered `status` at `time` (seconds since the epoch).

    Attributes:
        reason: why, in a few words a person reads.
        outcome: of Finalizing: the terminal status that will follow.
        error: of a failure: `{"code": …, "message": …}`.
    """

    status: str
    time: float = field(default_factory=time.time)
    reason: str = ""
    outcome: str = ""
    error: dict[str, Any] | None = None


def append_event(run: RunDirectory, event: Event) -> None:
    """Append one event. Only the owner of the run at that moment may: submit for the first, then the agent."""
    line = {key: value for key, value in asdict(event).items() if value not in ("", None)}
    append_line(run.events, json.dumps(line, ensure_ascii=False))


def read_events(run: RunDirectory) -> list[Event]:
    """All events of a run, oldest first; [] where there is no such run. A line torn by a full disk is passed over."""
    events = []
    for line in read_lines(run.events):
        try:
            events.append(Event(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return events


def last_event(run: RunDirectory) -> Event:
    """The event that says what the run is now."""
    events = read_events(run)
    return events[-1] if events else Event(NOT_STARTED, time=0.0)
