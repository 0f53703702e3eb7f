"""From the launcher's exit record to the terminal status of a run and the error that a person reads."""

from __future__ import annotations

import os
from typing import Any

from toolkit.inscript.files import read_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.status import CANCELED, COMPLETED, FAILED, FINALIZING, Event
from toolkit.targets.engine_state import NODE_LOST, OUT_OF_MEMORY, PREEMPTED, TIMED_OUT, EngineState

_TAIL_BYTES = 8192
_KEPT = "What it had logged and written is kept. Submit it again, or give it max_retries"
_ERROR_OF_CAUSE = {
    PREEMPTED: "Preempted",
    NODE_LOST: "NodeLost",
    TIMED_OUT: "TimedOut",
    OUT_OF_MEMORY: "OutOfMemory",
}


def finalizing(run: RunDirectory, definition: dict[str, Any]) -> Event:
    """The Finalizing event of a run that has ended: what its terminal status will be, and why."""
    record = read_json(run.exit)
    if record is None and os.path.exists(run.cancel):
        return cancelled(run)
    if record is None and definition.get("logged"):
        return _failed(
            "LoggerLost",
            "the process that logged the run was ended from outside (kill -9, or the machine went down) before "
            "run.complete(); what it had logged is kept",
        )
    state = EngineState.of(run)
    if record is None and state is not None and state.message:
        return _failed(_ERROR_OF_CAUSE.get(state.cause, "EngineError"), f"{state.message}. {_KEPT}")
    if record is None:
        message = (
            "the launcher of the run was ended from outside (kill -9, or the machine went down), so how the script "
            f"ended is not known. {_KEPT}"
        )
        return _failed("LauncherLost", message)
    if record["reason"] == "exited" and record["code"] == 0:
        return Event(FINALIZING, outcome=COMPLETED)
    if os.path.exists(run.cancel):
        return cancelled(run)
    return _failed(*_explain(run, record, definition))


def cancelled(run: RunDirectory, reason: str = "cancelled") -> Event:
    """The Finalizing event of a run whose end was asked for: Canceled, or Failed where `run.fail()` asked."""
    failed = read_json(run.cancel, {}).get("failed")
    if failed:
        return _failed(failed["error_code"], failed["message"])
    return Event(FINALIZING, outcome=CANCELED, reason=reason)


def _failed(code: str, message: str) -> Event:
    return Event(FINALIZING, outcome=FAILED, reason=message, error={"code": code, "message": message})


def _explain(run: RunDirectory, record: dict[str, Any], definition: dict[str, Any]) -> tuple[str, str]:
    what = "the sweep's controller" if definition.get("hyperdrive") else definition.get("script") or "the command"
    reason = record["reason"]
    container = read_json(run.plan, {}).get("container", {})
    if reason == "failed":  # as the process that logged it said
        return record["error_code"], record["message"]
    if reason == "not_started":
        return "NotStarted", record["message"]
    if reason == "container_ended":
        return "ContainerEnded", record["message"]
    if reason == "out_of_memory":
        limit = container.get("mem_limit")
        full = (
            f"its container reached its limit of memory, {limit / 2**30:.3g} GiB"
            if limit
            else "the machine ran out of memory"
        )
        more = "a higher limit" if limit else "a machine with more memory"
        return "OutOfMemory", (
            f"{what} was ended by the kernel because {full} (SIGKILL). "
            f"Use a smaller batch, fewer DataLoader workers, or {more}"
        )
    state = EngineState.of(run)
    if reason == "stopped" and state is not None and state.cause:
        return _ERROR_OF_CAUSE.get(
            state.cause, "EngineError"
        ), f"{state.message or f'{state.engine} ended {what}'}. {_KEPT}"
    if reason == "timed_out":
        limit = definition["max_run_duration_seconds"]
        return "TimedOut", f"{what} ran longer than max_run_duration_seconds={limit:g} and was ended"
    if reason == "stopped":
        by = "`docker stop`, or a container engine that was restarted" if container else "a machine that goes down, say"
        return "Stopped", f"{what} was ended because its launcher was asked to stop (SIGTERM): {by}. Submit it again"
    if reason == "signal":
        return (
            "Signal",
            f"{what} was ended by {record['signal']}, sent from outside the toolkit or by a crash in native code",
        )
    message = f"{what} exited with code {record['code']}"
    last = _last_line(run.driver_log)
    if last:
        message += f": {last}"
    if record.get("disk_full"):
        message += " (when it ended, the disk with its folder was full)"
    if record.get("memory_kill"):
        message += " (while it ran, the kernel ended a process because the machine ran out of memory)"
    return "UserError", message


def _last_line(path: str) -> str:
    """The last line of a log that says something: of a traceback, the exception."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").replace("\r", "\n").splitlines()
    except OSError:
        return ""
    said = (line.strip() for line in reversed(lines) if any(character.isalnum() for character in line))
    return next(said, "")[:500]
