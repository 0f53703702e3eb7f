"""How long each phase of a run took: from its events and records, which hold the times anyway."""

from __future__ import annotations

import os

from toolkit import status
from toolkit.inscript import spool
from toolkit.inscript.files import read_json
from toolkit.inscript.rundir import RunDirectory


def seconds_of_phases(run: RunDirectory) -> dict[str, float]:
    """Seconds of snapshot, build (with solve and install inside), queue, start, first metric and script.

    A phase that the run did not go through, or not yet, is left out.
    """
    definition = read_json(run.definition, {})
    events = status.read_events(run)
    script, exited = read_json(run.script, {}), read_json(run.exit, {})
    times = {event.status: event.time for event in reversed(events)}  # the first time that each was entered
    found = {"snapshot": (definition.get("snapshot") or {}).get("seconds")}
    if status.PREPARING in times:
        found["build"] = times.get(status.QUEUED, times[status.PREPARING]) - times[status.PREPARING]
        build = read_json(run.environment, {}).get("seconds") or {}
        found.update({f"build.{name}": seconds for name, seconds in build.items()})
    if status.QUEUED in times and status.RUNNING in times:
        found["queue"] = times[status.RUNNING] - times[status.QUEUED]
    if script and "submitted" in definition:
        found["start"] = script["time"] - definition["submitted"]
        first = _first_metric(run)
        if first is not None:
            found["first_metric"] = first - script["time"]
        if exited.get("time"):
            found["script"] = exited["time"] - script["time"]
    return {name: round(seconds, 3) for name, seconds in found.items() if seconds is not None}


def _first_metric(run: RunDirectory) -> float | None:
    times = []
    for name in spool.files(run.spool):
        records, _ = spool.read_from(os.path.join(run.spool, name), 0, 65536)
        times += [record["time"] for record in records if record.get("kind") in ("metric", "list", "table")][:1]
    return min(times, default=None)
