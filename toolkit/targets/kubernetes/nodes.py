"""The further nodes of a run: their frames come into the run directory beside those of the first.

What is the run's own (its records, outputs and checkpoints) is the first node's. Of the others there are metrics, logs
under names of their own, and how their launchers ended, in `nodes/<n>/`.
"""

from __future__ import annotations

import json
import os
from typing import Any

from toolkit.inscript.changes import RELATIVES, frame_of, piece_of
from toolkit.inscript.files import read_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.targets.mirror import Mirror

_FOLDER = "nodes"
_LOGS = ("azureml-logs/60_control_log.txt", "azureml-logs/70_driver_log.txt")
_OWN_FAILURE = ("exited", "signal", "out_of_memory", "not_started", "timed_out")


def node(run: RunDirectory, index: int) -> RunDirectory:
    """What stands for the node `index` of a run: the run itself for the first."""
    return RunDirectory(os.path.join(run.root, _FOLDER, str(index))) if index else run


def run_and_index(place: RunDirectory) -> tuple[RunDirectory, int]:
    """The other way round."""
    parent, name = os.path.split(place.root)
    if os.path.basename(parent) == _FOLDER and name.isdigit():
        return RunDirectory(os.path.dirname(parent)), int(name)
    return place, 0


def mirror(place: RunDirectory) -> Mirror:
    """The mirror for the frames of a node."""
    run, index = run_and_index(place)
    return _FurtherMirror(run, index) if index else _FirstMirror(run)


def prepare(run: RunDirectory, count: int) -> None:
    """Make room for what comes of further nodes; what an earlier attempt left of their ends is taken away."""
    for index in range(1, count):
        place = node(run, index)
        os.makedirs(place.logs, 0o700, exist_ok=True)
        if os.path.exists(place.exit):
            os.unlink(place.exit)


def sizes(run: RunDirectory, count: int) -> dict[str, dict[str, int]]:
    """What is here already of each further node's growing files, by its number."""
    there = Mirror(run).sizes()
    found: dict[str, dict[str, int]] = {}
    for index in range(1, count):
        names = {name: _here(name, index) for name in _LOGS}
        found[str(index)] = {name: there[place] for name, place in names.items() if place in there}
    return found


def _here(name: str, index: int) -> str:
    """The name that a file of a further node has here; "" for one that is not kept."""
    if name in _LOGS:
        return name.replace(".txt", f"_node_{index}.txt")
    if name.startswith(("azureml-logs/70_driver_log", "spool/", f"{RELATIVES}/")):
        return name
    return f"{_FOLDER}/{index}/exit.json" if name == "exit.json" else ""


class _FurtherMirror(Mirror):
    def __init__(self, run: RunDirectory, index: int) -> None:
        super().__init__(run)
        self._index = index

    def apply(self, frame: dict[str, Any]) -> None:
        if "beat" in frame:
            return
        name = _here(str(frame.get("path")), self._index)
        if name.startswith(_FOLDER):
            record = json.loads(piece_of(frame))
            with open(node(self.run, self._index).exit, "w", encoding="utf-8") as file:
                json.dump(record, file)
        elif name:
            super().apply({**frame, "path": name})


class _FirstMirror(Mirror):
    """When one node fails the cluster stops the others: the run's end is then that of the one that failed."""

    def apply(self, frame: dict[str, Any]) -> None:
        if frame.get("path") == "exit.json" and not os.path.exists(self.run.cancel):
            failed = self._failed()
            if failed is not None and json.loads(piece_of(frame)).get("reason") == "stopped":
                content = json.dumps(failed).encode()
                frame = frame_of("exit.json", 0, content, len(content))
        super().apply(frame)

    def _failed(self) -> dict[str, Any] | None:
        folder = os.path.join(self.run.root, _FOLDER)
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            record: dict[str, Any] = read_json(os.path.join(folder, name, "exit.json"), {})
            if record.get("reason") in _OWN_FAILURE and record.get("code") != 0:
                return {**record, "node": int(name)}
        return None
