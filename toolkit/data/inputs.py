"""The inputs and outputs of a run, as its script and as control scripts see them."""

from typing import Any, Dict, Optional

from toolkit.data import records
from toolkit.data.data_reference import VARIABLE
from toolkit.data.dataset import made
from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.files import read_json
from toolkit.inscript.rundir import RunDirectory


def input_datasets(run_directory: RunDirectory, workspace: Any) -> Dict[str, Any]:
    """`Run.input_datasets`: by name the path of a mount or download, or the data set itself in direct mode."""
    environment = read_json(run_directory.plan, {}).get("environment", {})
    found: Dict[str, Any] = {}
    for name, entry in _data_of(run_directory).get("inputs", {}).items():
        if entry["mode"] == "direct":
            found[name] = made(entry["definition"], workspace, _registration(entry, workspace))
        else:
            found[name] = environment.get(VARIABLE + name)
    return found


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
