"""The plan of a run on a host: what it would be here, with the paths that things have there."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from typing import Any

from toolkit.data.patterns import is_glob, static_prefix
from toolkit.inscript import elsewhere
from toolkit.inscript.host.layout import Layout
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import home
from toolkit.targets import data, variables
from toolkit.targets.base import Job, Plan
from toolkit.targets.data import shared_of
from toolkit.targets.mount import inscript_folder, launcher_command, python_path


@dataclass(frozen=True)
class Input:
    """A file or folder of this machine that a run reads, copied to the host.

    Attributes:
        path: where it is here, from / on.
    """

    path: str

    @property
    def key(self) -> str:
        """What the folder of its copy is called there."""
        return hashlib.sha256(os.fsencode(f"{os.uname().nodename}\0{self.path}")).hexdigest()[:32]

    def there(self, layout: Layout) -> str:
        """The copy, below the folders that it has here: their names may say something (`partition_format`)."""
        return layout.input(self.key) + self.path

    @property
    def signature(self) -> str:
        """What differs whenever the content may: names, sizes and times of all files."""
        digest = hashlib.sha256()
        for path in _files(self.path):
            found = os.stat(path)
            digest.update(os.fsencode(path) + b"\0%d %d\0" % (found.st_size, found.st_mtime_ns))
        return digest.hexdigest()


def _files(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path] if os.path.exists(path) else []
    return sorted(os.path.join(parent, name) for parent, _, names in os.walk(path, followlinks=True) for name in names)


def plan(job: Job, layout: Layout, python: str, wake: str, grace: float) -> Plan:
    """What is started on the host for a run.

    Args:
        python: the interpreter there of environments that have one of their own; else the run's own says.
    """
    run = RunDirectory(layout.run(job.run.id))
    paths = {job.run.root: run.root, str(inscript_folder()): layout.inscript, str(home().data): layout.data}
    provided = data.of_run(job.run, job.definition)
    inputs = inputs_of(job.run, job.definition)
    paths.update({one.path: one.there(layout) for one in inputs})
    paths.update(_outputs_in_place(job.run, run, job.definition))
    there = replace(job, run=run, definition={**job.definition, "data": None})
    environment = variables.of_run(there, "ssh")
    environment.update(moved(provided.variables, paths))
    environment["TOOLKIT_DATA"] = layout.data
    environment[elsewhere.ELSEWHERE] = f"the host of '{job.definition['target']}'"
    prefixes = {"PYTHONPATH": moved(python_path(), paths)}
    if os.path.isabs(python):
        prefixes["PATH"] = [os.path.dirname(python)]
    if not job.environment["user_managed"]:
        environment["VIRTUAL_ENV"] = os.path.dirname(os.path.dirname(python))
    return Plan(
        run=job.run,
        command=moved(variables.command(job, python), paths),
        environment=environment,
        path_prefixes=prefixes,
        snapshot={"store": layout.snapshots, "id": job.definition["snapshot"]["id"]},
        data=moved(provided.steps, paths),
        max_seconds=float(job.definition["max_run_duration_seconds"] or 0),
        grace_seconds=grace,
        wake=wake,
    )


def launcher(plan: Plan, layout: Layout, python: str) -> list[str]:
    """The command that starts the launcher of a run there."""
    command = launcher_command(python, layout.run(plan.run.id))
    return [layout.inscript if part == str(inscript_folder()) else part for part in command]


def moved(value: Any, paths: dict[str, str]) -> Any:
    """`value` with every path that is one of `paths`, or below one, replaced; the longest that fits counts."""
    if isinstance(value, dict):
        if "root" in value and "path" in value:  # a source of a data set
            return _moved_source(value, paths)
        return {key: moved(one, paths) for key, one in value.items()}
    if isinstance(value, list):
        return [moved(one, paths) for one in value]
    if not isinstance(value, str):
        return value
    for here in sorted(paths, key=len, reverse=True):
        if value == here or value.startswith(here.rstrip("/") + "/"):
            return paths[here] + value[len(here.rstrip("/")) :]
    return value


def _moved_source(source: dict[str, Any], paths: dict[str, str]) -> dict[str, Any]:
    root = str(source["root"])
    whole = os.path.join(root, str(source["path"]).lstrip("/"))
    there = moved(whole, paths)
    if there == whole:
        return {**source, "root": moved(root, paths)}
    kept = source["path"].lstrip("/")
    if there.endswith("/" + kept):  # names of files are told from the root on
        return {**source, "root": there[: -len(kept) - 1] or "/"}
    return {**source, "root": "/", "path": there}


def inputs_of(run: RunDirectory, definition: dict[str, Any]) -> list[Input]:
    """What of this machine's files the run reads, each once."""
    found: dict[str, Input] = {}
    for entry in ((definition.get("data") or {}).get("inputs") or {}).values():
        for source in data.sources_here(shared_of(run), entry):
            if "url" in source or ("datastore" in source and not source.get("root")):
                continue  # fetched there
            path = os.path.join(source.get("root", "/"), str(source["path"]).lstrip("/")).rstrip("/")
            if is_glob(path):
                path = os.path.join("/", static_prefix(path.lstrip("/"))).rstrip("/")
            found[path] = Input(path)
    return [found[path] for path in sorted(found)]


def _outputs_in_place(here: RunDirectory, there: RunDirectory, definition: dict[str, Any]) -> dict[str, str]:
    """Folders of datastores that a run here would write to itself: on a host it writes to its own folder instead."""
    paths = {}
    for name, entry in ((definition.get("data") or {}).get("outputs") or {}).items():
        in_place = data.place_in_store(here, shared_of(here), name, entry)
        if in_place:
            paths[in_place] = os.path.join(there.root, "data", "outputs", name)
    return paths


def link_outputs(run: RunDirectory, definition: dict[str, Any]) -> None:
    """Let what comes back of such outputs be in their datastore: the run's own folder of them is a link to it."""
    for name, entry in ((definition.get("data") or {}).get("outputs") or {}).items():
        in_place = data.place_in_store(run, shared_of(run), name, entry)
        link = os.path.join(run.root, "data", "outputs", name)
        if in_place and not os.path.lexists(link):
            os.makedirs(in_place, exist_ok=True)
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(in_place, link)
