"""Inputs and outputs of a run as its target provides them: variables, folders of containers, steps of the launcher."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from toolkit.data import stores
from toolkit.data.data_reference import VARIABLE
from toolkit.data.locations import Folder
from toolkit.data.output import filled
from toolkit.data.patterns import is_glob, static_prefix
from toolkit.errors import ToolkitError
from toolkit.inscript.files import is_within
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.workspace_directory import WorkspaceDirectory

READ, WRITE = "ro", "rw"
ENVIRONMENT_VARIABLES = "AZUREML_DATASET_ENVIRONMENT_VARS"


@dataclass
class Provided:
    """What a run needs for its data.

    Attributes:
        variables: environment variables with the paths.
        folders: the folders that a container must have under their own paths, each "ro" or "rw".
        steps: what the launcher does before the script starts; see `toolkit.data.provide`.
    """

    variables: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)

    def _folder(self, path: str, mode: str) -> None:
        if self.folders.get(path) != WRITE:
            self.folders[path] = mode


def shared_of(run: RunDirectory) -> WorkspaceDirectory:
    """The shared folders of the workspace of a submitted run."""
    return WorkspaceDirectory(os.path.dirname(os.path.dirname(run.root)))


def of_run(run: RunDirectory, definition: dict[str, Any]) -> Provided:
    """What a run needs for the data of its definition. Looks at the disk, and writes nothing."""
    provided = Provided()
    data = definition.get("data") or {}
    shared = shared_of(run)
    modes = []
    for name, entry in (data.get("inputs") or {}).items():
        provided.variables[VARIABLE + name] = _input(provided, run, name, entry)
        modes.append(f"{name}:{entry['mode']}")
        if entry.get("variable"):
            provided.variables[entry["variable"]] = provided.variables[VARIABLE + name]
    for name, entry in (data.get("outputs") or {}).items():
        provided.variables[VARIABLE + name] = _output(provided, run, shared, name, entry)
        modes.append(f"{name}:{entry['mode']}")
    if modes:
        provided.variables[ENVIRONMENT_VARIABLES] = ",".join(modes)
    return provided


def folders_of_datastores(shared: WorkspaceDirectory) -> list[str]:
    """The folders outside the workspace that are datastores of it: a script may read and write them."""
    found = []
    for name in stores.names(shared):
        record = stores.read(shared, name)
        if name not in stores.OWN and record["type"] == "Folder" and os.path.isdir(record["url"]):
            found.append(record["url"])
    return found


def with_folders(own: dict[str, str], run: RunDirectory, definition: dict[str, Any]) -> dict[str, str]:
    """The folders of a container: `own`, the shared ones of the workspace, its datastores, and those of its data.

    A folder within one that the container has anyway is left out: it would only take rights away.
    """
    shared = shared_of(run)
    folders = {**own, **dict.fromkeys(shared.shared, WRITE)}
    wanted = {**of_run(run, definition).folders, **dict.fromkeys(folders_of_datastores(shared), WRITE)}
    for path, mode in sorted(wanted.items()):
        if not any(
            path == there or path.startswith(there.rstrip("/") + "/") for there in folders if folders[there] == WRITE
        ):
            folders[path] = mode
    return folders


def _input(provided: Provided, run: RunDirectory, name: str, entry: dict[str, Any]) -> str:
    """What stands for an input in arguments: its path, or its id in direct mode."""
    for source in (entry.get("files") or entry.get("definition") or {}).get("sources", []):
        if "datastore" not in source and "url" not in source:
            provided._folder(_existing_folder(source), WRITE if entry.get("writable") else READ)
    if entry["mode"] == "direct":
        provided.steps.append({"do": "read", "input": name, "sources": sources_here(shared_of(run), entry)})
        return str(entry["id"])
    place = _place_on_compute(run, entry)
    plain = _plain_place(entry)
    if entry["mode"] == "mount" and plain:
        if entry.get("writable"):
            provided.steps.append({"do": "folder", "target": plain})
        if place is None:
            return plain
        provided.steps.append({"do": "link", "source": plain, "target": place})
        return place
    target = place or os.path.join(run.root, "data", "inputs", name)
    link = entry["mode"] == "mount"
    provided.steps.append({"do": "files", "definition": entry["files"], "target": target, "link": link})
    if plain and os.path.isfile(plain):  # as in Azure ML, a data set of one file is that file
        return os.path.join(target, os.path.basename(plain))
    return target


def sources_here(shared: WorkspaceDirectory, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The sources of an input as {"root", "path"} of this machine; addresses and what only a library reads stay."""
    found = []
    for source in (entry.get("files") or entry.get("definition") or {}).get("sources", []):
        if "datastore" in source and not source.get("root"):
            folder = _folder_of(shared, source["datastore"])
            found.append(source if folder is None else {"root": folder, "path": source["path"]})
        else:
            found.append(source if "url" in source else {"root": "/", **source})
    return found


def _folder_of(shared: WorkspaceDirectory, datastore: str) -> str | None:
    """The folder of a datastore; None where it is none of this machine, or unregistered: whoever reads it says so."""
    try:
        record = stores.read(shared, datastore)
    except ToolkitError:
        return None
    return str(record["url"]) if datastore in stores.OWN or record["type"] == "Folder" else None


def _plain_place(entry: dict[str, Any]) -> str | None:
    """The one folder or file that an input is, or None where links have to be made."""
    sources = entry["files"]["sources"]
    if len(sources) != 1 or entry["files"].get("file_steps") or is_glob(sources[0]["path"]):
        return None
    place: str = os.path.join(sources[0].get("root", "/"), sources[0]["path"].lstrip("/"))
    return place.rstrip("/")


def _existing_folder(source: dict[str, str]) -> str:
    """The folder that holds all of a source."""
    path = os.path.join(source.get("root", "/"), static_prefix(source["path"].lstrip("/"))).rstrip("/")
    while path and not os.path.isdir(path):
        path = os.path.dirname(path)
    return path or "/"


def _place_on_compute(run: RunDirectory, entry: dict[str, Any]) -> str | None:
    """Where the run wants an input: below its working directory."""
    wanted = entry.get("path_on_compute")
    if not wanted:
        return None
    place = os.path.normpath(os.path.join(run.work, wanted))
    return place if place.startswith(run.work + os.sep) else None


def _output(provided: Provided, run: RunDirectory, shared: WorkspaceDirectory, name: str, entry: dict[str, Any]) -> str:
    """The folder that the run writes an output to."""
    folder = local_folder(run, shared, name, entry)
    if not entry["source"] or entry.get("reference"):  # the script makes the folder that it names by `source`
        provided.steps.append({"do": "folder", "target": folder})
    if not is_within(run.root, folder):
        provided._folder(_existing_folder({"path": folder}), WRITE)
    return folder


def local_folder(run: RunDirectory, shared: WorkspaceDirectory, name: str, entry: dict[str, Any]) -> str:
    """Where a run writes an output: in the datastore itself, or in the run directory until it is copied there."""
    if entry["source"]:
        return os.path.normpath(os.path.join(run.work, entry["source"]))
    in_place = place_in_store(run, shared, name, entry)
    return in_place or os.path.join(run.root, "data", "outputs", name)


def place_in_store(run: RunDirectory, shared: WorkspaceDirectory, name: str, entry: dict[str, Any]) -> str | None:
    """The folder of a datastore on this machine that a run writes an output to directly; None where it is copied."""
    if entry["source"] or entry["globs"] or entry["mode"] == "upload":
        return None
    try:
        if entry["datastore"] not in stores.OWN and stores.read(shared, entry["datastore"])["type"] != "Folder":
            return None  # not even looked at from here: it may hang, and this is the agent
        location = stores.location(shared, entry["datastore"])
    except ToolkitError:  # unregistered since: whoever copies says so
        return None
    return location.local(filled(entry["path"], run.id, name)) if isinstance(location, Folder) else None
