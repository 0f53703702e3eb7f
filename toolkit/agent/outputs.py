"""Outputs of runs that have ended: copied to their datastores where they are not there, and registered.

The work of a run is a process of its own, `python -m toolkit.agent.outputs RUN_DIRECTORY OUTCOME`, so that the agent
waits for nothing. It may be ended at any moment and started again: what it has done is found done. When all is done
it writes `outputs.json`: `{"registered": {output: {"name", "version"}}, "error": message or ""}`.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolkit.background import background_environment
from toolkit.data import records, stores
from toolkit.data.content import content_of
from toolkit.data.locations import Folder
from toolkit.data.output import definition_of, filled
from toolkit.data.patterns import checked, matching
from toolkit.inscript.files import claim_json, read_json, write_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import WorkspacePaths
from toolkit.status import COMPLETED, FAILED, Event
from toolkit.targets.data import local_folder, place_in_store, shared_of

_processes: dict[str, subprocess.Popen[bytes]] = {}


def complete(paths: WorkspacePaths, directory: RunDirectory, definition: dict[str, Any], outcome: str) -> bool:
    """Take the outputs of a run one step on. True when all is done; asked again until then, and never waits.

    Args:
        outcome: how the run has ended: only one that Completed registers its outputs.
    """
    if not _is_due(definition, outcome) or os.path.exists(directory.kept_outputs):
        _processes.pop(directory.root, None)
        return True
    process = _processes.get(directory.root)
    if process is None:
        command = [sys.executable, "-m", "toolkit.agent.outputs", directory.root, outcome]
        with open(directory.control_log, "ab") as log:
            _processes[directory.root] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=paths.root,
                env=background_environment(),
                start_new_session=True,
            )
        return False
    code = process.poll()
    if code is None or os.path.exists(directory.kept_outputs):
        return False
    message = f"what should keep the outputs of the run ended with code {code}: see {Path(directory.control_log).name}"
    write_json(directory.kept_outputs, {"registered": {}, "error": message})
    return False


def give_up(directory: RunDirectory) -> None:
    """End what copies the outputs of a run: somebody cancelled the run while it was at that."""
    process = _processes.pop(directory.root, None)
    if process is not None and process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    message = "the run was cancelled while its outputs were copied to their datastore; its own folder has them all"
    claim_json(directory.kept_outputs, {"registered": {}, "error": message})


def judged(directory: RunDirectory, event: Event) -> Event:
    """How a run ends that is `event` so far: one whose outputs could not be kept has failed."""
    message = str(read_json(directory.kept_outputs, {}).get("error") or "")
    if not message or event.outcome != COMPLETED:
        return event
    return replace(event, outcome=FAILED, reason=message, error={"code": "OutputError", "message": message})


def _is_due(definition: dict[str, Any], outcome: str) -> bool:
    outputs = (definition.get("data") or {}).get("outputs") or {}
    return any(_must_be_copied(entry) or (entry["register"] and outcome == COMPLETED) for entry in outputs.values())


def _must_be_copied(entry: dict[str, Any]) -> bool:
    """Whether an output may have to be copied: the datastore says it for sure, and is not asked here."""
    return True if entry["mode"] == "upload" or entry["source"] else entry["datastore"] not in stores.OWN


def keep(directory: RunDirectory, outcome: str) -> dict[str, Any]:
    """Copy and register the outputs of a run; what `outputs.json` says of it."""
    definition = read_json(directory.definition)
    done: dict[str, Any] = {"registered": {}, "error": ""}
    for name, entry in definition["data"]["outputs"].items():
        try:
            _upload(directory, name, entry, outcome)
            if entry["register"] and outcome == COMPLETED:
                done["registered"][name] = _register(directory, name, entry)
        except Exception as error:  # a datastore can fail in any way: the run tells it
            done["error"] = f"the output '{name}' could not be kept: {error}"
            print(f"{type(error).__name__}: {done['error']}", flush=True)
    return done


def _upload(directory: RunDirectory, name: str, entry: dict[str, Any], outcome: str) -> None:
    shared = shared_of(directory)
    if place_in_store(directory, shared, name, entry) is not None:
        return
    folder = local_folder(directory, shared, name, entry)
    location = stores.location(shared, entry["datastore"])
    target = filled(entry["path"], directory.id, name)
    if not os.path.exists(folder):
        if outcome == COMPLETED:
            raise FileNotFoundError(f"the script has left nothing at '{entry['source'] or folder}'")
        return
    single = os.path.isfile(folder)
    source = Folder(os.path.dirname(folder) if single else folder)
    names = [os.path.basename(folder)] if single else [found.path for found in source.walk("")]
    if entry["globs"]:
        names = sorted({path for pattern in entry["globs"] for path in matching(checked(pattern), names)})
    for path in names:
        place = "/".join(part for part in (target, path) if part)
        there = None if entry["overwrite"] else location.file(place)
        if there is not None and not _is_same(there.size, source, path, location, place):
            raise FileExistsError(f"'{place}' is in the datastore already; as_upload(overwrite=True) replaces it")
        if there is None:
            location.put(source.local(path), place)


def _is_same(size: int, source: Folder, path: str, location: Any, place: str) -> bool:
    """Whether a file is there already as we would put it: by a process that was ended before it was done."""
    entry = source.file(path)
    if entry is None or entry.size != size:
        return False
    with source.open(path) as ours, location.open(place) as theirs:
        while True:
            chunk = ours.read(1 << 20)
            if chunk != theirs.read(1 << 20):
                return False
            if not chunk:
                return True


def _register(directory: RunDirectory, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    shared = shared_of(directory)
    definition = definition_of(entry, filled(entry["path"], directory.id, name))
    asked = entry["register"]
    record = records.register(
        shared,
        asked["name"],
        records.keep(shared, definition),
        content_of(definition, shared),
        asked["description"],
        asked["tags"],
        create_new_version=True,
    )
    return {"name": record["name"], "version": record["version"]}


def main(root: str, outcome: str) -> None:
    directory = RunDirectory(root)
    with open(os.path.join(root, "outputs.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one that an agent has started before goes on, and we find it done
        if not os.path.exists(directory.kept_outputs):
            write_json(directory.kept_outputs, keep(directory, outcome))
    from toolkit.inscript.wake import wake

    wake(str(read_json(directory.plan, {}).get("wake") or ""))


if __name__ == "__main__":
    main(*sys.argv[1:])
