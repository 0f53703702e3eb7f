"""What is known of a run, from its folder: its status, its files, its `get_details`."""

import json
import os
import posixpath
import re
import time
from typing import Any, Dict, Iterator, List, Optional, Tuple

from toolkit.inscript.files import read_json, read_lines
from toolkit.inscript.rundir import RUN_DIRECTORY, RunDirectory

_HALF_WRITTEN = re.compile(r"\.(\d+\.tmp|tmp\.png)$")  # as the in-script side names a file until it is whole
TERMINAL = ("Completed", "Failed", "Canceled")
_BEFORE = ("NotStarted", "Starting", "Preparing", "Queued")


def last_event(directory: RunDirectory) -> Dict[str, Any]:
    """The event that says what a run is now: its `status`, since `time`, and where there are, `reason` and `error`.

    A logged run is over when its exit record is there, though the agent has not said so yet. A script that asks for its
    own run is running, whatever the agent has said; it says nothing where the script is elsewhere.
    """
    event: Dict[str, Any] = {"status": "NotStarted", "time": 0.0}
    for line in reversed(read_lines(directory.events)):
        try:
            event = json.loads(line)
            break
        except ValueError:  # torn by a full disk
            continue
    if event["status"] not in TERMINAL and os.path.exists(directory.exit) and is_logged(directory):
        event = dict(_outcome(directory), time=event["time"])
    if event["status"] in _BEFORE and os.environ.get(RUN_DIRECTORY) == directory.root:
        event = {"status": "Running", "time": read_json(directory.script, {}).get("time") or time.time()}
    if event["status"] not in TERMINAL + ("Finalizing",) and os.path.exists(directory.cancel):
        event["status"] = "CancelRequested"  # the agent says so a moment later
    return event


def is_logged(directory: RunDirectory) -> bool:
    """Whether a process logs the run itself: nothing was submitted."""
    return bool(read_json(directory.definition, {}).get("logged"))


def _outcome(directory: RunDirectory) -> Dict[str, Any]:
    record = read_json(directory.exit, {})
    if os.path.exists(directory.cancel):
        return {"status": "Canceled", "reason": "cancelled"}
    if record.get("reason") == "failed":
        error = {"code": record["error_code"], "message": record["message"]}
        return {"status": "Failed", "reason": record["message"], "error": error}
    return {"status": "Completed"}


def below(folder: str, prefix: str) -> Iterator[Tuple[str, str]]:
    """The regular files below `folder`, as (artifact name, path); what is half written is left out."""
    for parent, _, files in os.walk(folder):
        relative = os.path.relpath(parent, folder).replace(os.sep, "/")
        for file in sorted(files):
            path = os.path.join(parent, file)
            if not _HALF_WRITTEN.search(file) and os.path.isfile(path):
                yield posixpath.normpath(posixpath.join(prefix, relative, file)), path


def files(directory: RunDirectory) -> List[Tuple[str, str]]:
    """The files of a run: `azureml-logs/…`, `logs/…`, `outputs/…` and what was uploaded, with their paths."""
    found = dict(below(directory.artifacts, ""))
    for folder, prefix in (
        (directory.logs, "azureml-logs"),
        (directory.script_logs, "logs"),
        (directory.outputs, "outputs"),
    ):
        found.update(below(folder, prefix))
    return sorted(found.items())


def details(directory: RunDirectory, properties: Dict[str, str]) -> Dict[str, Any]:
    """What `get_details` gives, under the keys that Azure ML SDK v1 had."""
    definition = read_json(directory.definition, {})
    event = last_event(directory)
    over = event["status"] in TERMINAL
    ended = read_json(directory.exit, {}).get("time") or event["time"] if over else None
    found = {
        "runId": directory.id,
        "target": definition.get("target"),
        "status": event["status"],
        "startTimeUtc": utc(read_json(directory.script, {}).get("time")),
        "endTimeUtc": utc(ended),
        "properties": dict({"ContentSnapshotId": (definition.get("snapshot") or {}).get("id")}, **properties),
        "inputDatasets": _inputs(definition),
        "outputDatasets": _outputs(definition, directory),
        "runDefinition": {
            "script": definition.get("script"),
            "command": " ".join(definition.get("command") or []),
            "useAbsolutePath": False,
            "arguments": definition.get("arguments"),
            "framework": definition.get("framework", "Python"),
            "communicator": definition.get("communicator", "None"),
            "target": definition.get("target"),
            "data": definition.get("data") or {},
            "environment": definition.get("environment"),
            "environmentVariables": definition.get("environment_variables"),
            "maxRunDurationSeconds": definition.get("max_run_duration_seconds"),
            "nodeCount": int((definition.get("distributed") or {}).get("node_count") or 1),
        },
        "logFiles": {name: path for name, path in files(directory) if name.startswith(("azureml-logs/", "logs/"))},
        "submittedBy": definition.get("user"),
    }
    if event.get("error"):
        found["error"] = {"error": event["error"]}
    return found


def _inputs(definition: Dict[str, Any]) -> List[Dict[str, Any]]:
    found = []
    for name, entry in ((definition.get("data") or {}).get("inputs") or {}).items():
        dataset = dict(entry.get("registered") or {}, id=entry.get("id"), content=entry.get("content"))
        how = {"type": "RunInput", "inputName": name, "mechanism": str(entry.get("mode")).capitalize()}
        if entry.get("path_on_compute"):
            how["pathOnCompute"] = entry["path_on_compute"]
        found.append({"dataset": dataset, "consumptionDetails": how})
    return found


def _outputs(definition: Dict[str, Any], directory: RunDirectory) -> List[Dict[str, Any]]:
    registered = read_json(directory.kept_outputs, {}).get("registered", {})
    return [
        {
            "dataset": registered.get(name),
            "outputType": "RunOutput",
            "outputDetails": {"outputName": name, "datastore": entry.get("datastore"), "path": entry.get("path")},
        }
        for name, entry in ((definition.get("data") or {}).get("outputs") or {}).items()
    ]


def utc(seconds: Optional[float]) -> Optional[str]:
    """A time as Azure ML writes it: ISO 8601, UTC, microseconds."""
    if seconds is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".%06dZ" % int(seconds % 1 * 1e6)
