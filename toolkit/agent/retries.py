"""Whether a run that its machine failed is run again: by the cause, never for an error of its own script."""

from __future__ import annotations

import os
from typing import Any

from toolkit.inscript import attempts
from toolkit.inscript.files import read_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.targets.engine_state import NODE_LOST, OUT_OF_MEMORY, PREEMPTED, TIMED_OUT, EngineState

DEFAULT_CAUSES = (PREEMPTED, NODE_LOST, TIMED_OUT)
_WORDS = {
    PREEMPTED: "it was pre-empted",
    NODE_LOST: "its machine was lost",
    TIMED_OUT: "its time was over",
    OUT_OF_MEMORY: "it ran out of memory",
}
_CAUSE_OF_RECORD = {
    "timed_out": TIMED_OUT,
    "out_of_memory": OUT_OF_MEMORY,
    "stopped": NODE_LOST,
    "container_ended": NODE_LOST,
}


def cause(run: RunDirectory) -> str:
    """Why the attempt that has ended just now ended, where that was not its script's doing; else ""."""
    record = read_json(run.exit)
    if record is not None and record["reason"] in ("exited", "signal", "not_started", "failed"):
        return ""
    state = EngineState.of(run)
    if state is not None and state.cause:
        return state.cause
    return NODE_LOST if record is None else _CAUSE_OF_RECORD.get(record["reason"], "")


def most(definition: dict[str, Any]) -> int:
    """How often the run may be started again."""
    return int((definition.get("retry") or {}).get("max_retries") or 0)


def due(run: RunDirectory, definition: dict[str, Any]) -> str:
    """In a sentence, why the run is to be started again, as in "attempt 2 of 4: it was pre-empted"; "" where not."""
    limit, before = most(definition), attempts.count(run)
    if before >= limit or os.path.exists(run.cancel):
        return ""
    why = cause(run)
    if why not in definition["retry"].get("retry_on", DEFAULT_CAUSES):
        return ""
    return f"attempt {before + 2} of {limit + 1}: {_WORDS[why]}"
