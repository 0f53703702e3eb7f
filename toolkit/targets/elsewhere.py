"""What a run cannot have on nodes that see nothing of this machine's disks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from toolkit.data.sources import described
from toolkit.errors import ComputeTargetException
from toolkit.inscript.workspace_directory import WorkspaceDirectory
from toolkit.paths import home
from toolkit.targets.data import sources_here


def check_data(name: str, definition: dict[str, Any]) -> None:
    """Refuse inputs and outputs in folders of this machine; outputs that are uploaded are carried back.

    Args:
        name: the compute target.

    Raises:
        ComputeTargetException: which one, and what to do.
    """
    data = definition.get("data") or {}
    for label, entry in (data.get("inputs") or {}).items():
        if entry["mode"] == "direct":
            remedy = "set shared: true where the nodes have the toolkit's home under the same path"
            check_direct(name, definition, label, lambda path: False, remedy)
            continue
        for source in (entry.get("files") or entry.get("definition") or {}).get("sources", []):
            if "url" not in source and ("datastore" not in source or source.get("root")):
                raise ComputeTargetException(
                    f"the input '{label}' is '{_place(source)}' on this machine, which the nodes of the compute target "
                    f"'{name}' do not see: put it into a datastore with an address that they reach (https://, s3://), "
                    "or set shared: true where they have the toolkit's home under the same path"
                )
    for entry in (data.get("outputs") or {}).values():
        if not entry["source"]:
            entry["mode"] = "upload"  # into the run directory, which comes back, and from here into the datastore


def check_direct(
    name: str, definition: Mapping[str, Any], label: str, sees: Callable[[str], bool], remedy: str
) -> None:
    """Refuse an input that the script reads itself, as a table, where it would not find the files.

    Args:
        name: the compute target.
        label: the input.
        sees: whether a script there sees a path of this machine, or is given a copy of it.
        remedy: what to do where it does not, beside using addresses of the web.

    Raises:
        ComputeTargetException: what it does not find, and what to do.
    """
    entry = definition["data"]["inputs"][label]
    shared = WorkspaceDirectory(str(home().workspaces / definition["workspace"]))
    for asked, source in zip(entry["definition"]["sources"], sources_here(shared, entry)):
        if "url" in source or ("root" in source and sees(_place(source))):
            continue
        raise ComputeTargetException(
            f"the input '{label}' is {described(asked)}, which the script reads itself, and scripts on the compute "
            f"target '{name}' do not reach that: make the data set of addresses that they reach, https://…, "
            f"or {remedy}"
        )


def check_stores(name: str, definition: Mapping[str, Any]) -> None:
    """The same where files and folders of this machine are copied: only a datastore that is neither is refused."""
    for label, entry in ((definition.get("data") or {}).get("inputs") or {}).items():
        if entry["mode"] == "direct":
            remedy = f"give it the files: Dataset.File.from_files(…).as_named_input('{label}').as_download()"
            check_direct(name, definition, label, lambda path: True, remedy)


def is_local(tracking_uri: str) -> bool:
    """Whether a tracking URI, "" for the workspace's own, is of a store that only this machine reaches."""
    address = urlsplit(tracking_uri)
    if tracking_uri == "databricks":  # MLflow's name for a workspace of it
        return False
    if address.scheme in ("", "file", "sqlite"):
        return True
    return address.hostname in ("localhost", "127.0.0.1", "::1")


def tracking_notices(name: str, tracking_uri: str, environment: dict[str, Any]) -> list[str]:
    """What a script should know that logs by MLflow itself, where it does not run on this machine."""
    specification = environment.get("specification") or {}
    entries = [*(specification.get("conda") or []), *(specification.get("pip") or [])]
    if not is_local(tracking_uri) or not any(str(entry).lower().startswith("mlflow") for entry in entries):
        return []
    return [
        f"scripts on compute target '{name}' reach MLflow only where the workspace's tracking_uri is a server that "
        "both reach: what they log by MLflow itself stays there; run.log is recorded everywhere"
    ]


def _place(source: dict[str, Any]) -> str:
    return str(source.get("root", "")).rstrip("/") + "/" + str(source.get("path", "")).lstrip("/")
