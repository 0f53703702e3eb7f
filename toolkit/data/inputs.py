"""The inputs and outputs of a run, as its script and as control scripts see them."""

import os
from typing import Any, Dict, List, Optional

from toolkit.data import records
from toolkit.data.abstract_dataset import AbstractDataset
from toolkit.data.data_reference import VARIABLE
from toolkit.data.dataset import made
from toolkit.inscript import elsewhere
from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.files import read_json
from toolkit.inscript.rundir import RUN_DIRECTORY, RunDirectory


def input_datasets(run_directory: RunDirectory, workspace: Any) -> Dict[str, Any]:
    """`Run.input_datasets`: by name the path of a mount or download, or the data set itself in direct mode."""
    environment = read_json(run_directory.plan, {}).get("environment", {})
    found: Dict[str, Any] = {}
    for name, entry in _data_of(run_directory).get("inputs", {}).items():
        if entry["mode"] == "direct":
            found[name] = _direct(run_directory, name, entry, workspace)
        else:
            found[name] = environment.get(VARIABLE + name)
    return found


def direct_input(workspace: Any, identity: str) -> Optional[AbstractDataset]:
    """The input of this script's own run with this id, where the script sees no other data sets of its workspace."""
    if not elsewhere.place(workspace.shared):
        return None
    run_directory = RunDirectory(os.environ[RUN_DIRECTORY]).outermost
    for name, entry in _data_of(run_directory).get("inputs", {}).items():
        if entry["mode"] == "direct" and entry["id"] == identity:
            return _direct(run_directory, name, entry, workspace)
    return None


def _direct(run_directory: RunDirectory, name: str, entry: Dict[str, Any], workspace: Any) -> AbstractDataset:
    """The data set itself, read from where its files are for this script."""
    dataset = made(entry["definition"], workspace, _registration(entry, workspace))
    for step in read_json(run_directory.plan, {}).get("data") or []:
        if step["do"] == "read" and step["input"] == name:
            _check(name, step["sources"], workspace)
            return dataset._read_from(step["sources"])
    return dataset


def _check(name: str, sources: List[Dict[str, str]], workspace: Any) -> None:
    """A datastore that is no folder stays one, and on another machine nobody has its address and keys."""
    where = elsewhere.place(workspace.shared)
    for source in sources:
        if where and "datastore" in source:
            raise UserErrorException(
                "the input '%s' is in the datastore '%s', whose address and keys a script on %s does not have: give "
                "it the files, by Dataset.File.from_files(...).as_named_input('%s').as_download(), or make the data "
                "set of their addresses (https://...)" % (name, source["datastore"], where, name)
            )


def output_datasets(run_directory: RunDirectory, workspace: Any) -> Dict[str, Any]:
    """`Run.output_datasets`: by name the folder that a script writes an output to."""
    environment = read_json(run_directory.plan, {}).get("environment", {})
    return {name: environment.get(VARIABLE + name) for name in _data_of(run_directory).get("outputs", {})}


def _data_of(run_directory: RunDirectory) -> Dict[str, Any]:
    return dict(read_json(run_directory.definition, {}).get("data") or {})


def _registration(entry: Dict[str, Any], workspace: Any) -> Optional[Dict[str, Any]]:
    """The version that the input was, if that is still registered."""
    registered = entry.get("registered")
    if not registered:
        return None
    try:
        return records.read(workspace.shared, registered["name"], registered["version"])
    except UserErrorException:
        return {**registered, "description": None, "tags": {}, "content": entry.get("content")}
