"""Data sets as the workspace keeps them.

datasets/definitions/<id>.json         what a data set is: written once, by its content
datasets/registered/<name>/<n>.json    version n of a name: its id, its content, tags and description
"""

import os
import time
import uuid
from hashlib import sha256
from json import dumps
from typing import Any, Dict, List, Optional
from urllib.parse import quote, unquote

from toolkit.inscript import elsewhere
from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.files import claim_json, read_json, write_json
from toolkit.inscript.workspace_directory import WorkspaceDirectory

LONGEST_NAME = 255
LONGEST_FOLDER = 255  # bytes: what a file system takes


def id_of(definition: Dict[str, Any]) -> str:
    """The id of a data set: the same wherever and whenever it is defined so."""
    text = dumps(definition, sort_keys=True, ensure_ascii=False)
    return str(uuid.UUID(sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]))


def keep(shared: WorkspaceDirectory, definition: Dict[str, Any]) -> str:
    """Keep a definition so that it is found by its id, which is returned."""
    identity = id_of(definition)
    path = os.path.join(shared.datasets, "definitions", identity + ".json")
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        write_json(path, definition)
    return identity


def find(shared: WorkspaceDirectory, identity: str) -> Dict[str, Any]:
    """The definition with this id.

    Raises:
        UserErrorException: the workspace has none.
    """
    try:
        known = read_json(os.path.join(shared.datasets, "definitions", str(uuid.UUID(str(identity))) + ".json"))
    except ValueError:
        known = None
    if known is None:
        elsewhere.refuse(shared, "the data set '%s'" % identity)
        raise UserErrorException("Cannot find dataset with id \"%s\" in the workspace '%s'." % (identity, shared.name))
    return dict(known)


def checked_name(name: object) -> str:
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME or "\0" in name:
        raise UserErrorException("%r cannot be the name of a dataset: use 1 to %d characters" % (name, LONGEST_NAME))
    if len(_quoted(name)) > LONGEST_FOLDER:
        raise UserErrorException("the name of a dataset, %r, is too long: other letters than a-z count more" % name)
    return name


def _quoted(name: str) -> str:
    """A name as that of a folder."""
    quoted = quote(name, safe=" ()")
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted


def _folder(shared: WorkspaceDirectory, name: str) -> str:
    return os.path.join(shared.datasets, "registered", _quoted(checked_name(name)))


def names(shared: WorkspaceDirectory) -> List[str]:
    """The names that data sets are registered under; a folder whose first version was never written is none."""
    try:
        found = [unquote(folder) for folder in os.listdir(shared.datasets + "/registered")]
    except FileNotFoundError:
        return []
    return sorted(name for name in found if versions(shared, name))


def versions(shared: WorkspaceDirectory, name: str) -> List[int]:
    """The versions of a name, the oldest first."""
    try:
        found = os.listdir(_folder(shared, name))
    except FileNotFoundError:
        return []
    return sorted(int(file[:-5]) for file in found if file.endswith(".json") and file[:-5].isdigit())


def read(shared: WorkspaceDirectory, name: str, version: Any = "latest") -> Dict[str, Any]:
    """The record of a version.

    Raises:
        UserErrorException: there is none.
    """
    found = versions(shared, name)
    try:
        wanted = found[-1] if version in (None, "latest") and found else int(version)
    except (TypeError, ValueError):
        wanted = -1
    if wanted not in found:
        elsewhere.refuse(shared, "the data set '%s'" % name)
        there = "versions %s" % ", ".join(map(str, found[-20:])) if found else "none of this name"
        if not found and names(shared):
            there += "; the names are: %s" % ", ".join(names(shared)[:20])
        raise UserErrorException(
            "Cannot find dataset registered with name \"%s\" (version: %s) in the workspace '%s'. It has %s"
            % (name, version, shared.name, there)
        )
    return dict(read_json(_version_path(shared, name, wanted)))


def _version_path(shared: WorkspaceDirectory, name: str, version: int) -> str:
    return os.path.join(_folder(shared, name), "%d.json" % version)


def register(
    shared: WorkspaceDirectory,
    name: str,
    identity: str,
    content: str,
    description: Optional[str],
    tags: Optional[Dict[str, str]],
    create_new_version: bool,
) -> Dict[str, Any]:
    """Register a data set under a name: a new version, or the latest where that is the same.

    Raises:
        UserErrorException: the name has another data set, and no new version is asked for.
    """
    elsewhere.refuse(shared, "the data sets")
    os.makedirs(_folder(shared, name), 0o700, exist_ok=True)
    while True:
        found = versions(shared, name)
        latest = read(shared, name, found[-1]) if found else None
        if latest is not None and _is_same(latest, identity, content, create_new_version):
            return update(shared, latest, description, tags)
        if latest is not None and not create_new_version:
            raise UserErrorException(
                'There is already a dataset registered under name "%s". Specify `create_new_version=True` to register '
                "the dataset as a new version." % name
            )
        record = {
            "name": name,
            "version": (found[-1] if found else 0) + 1,
            "id": identity,
            "content": content,
            "description": description,
            "tags": dict(tags or {}),
            "created": time.time(),
        }
        if claim_json(_version_path(shared, name, record["version"]), record):  # type: ignore[arg-type]
            return record


def _is_same(latest: Dict[str, Any], identity: str, content: str, create_new_version: bool) -> bool:
    """Without `create_new_version`, as in Azure ML, a definition is the same whatever is in its files by now."""
    return bool(latest["id"] == identity and (latest["content"] == content or not create_new_version))


def update(
    shared: WorkspaceDirectory, record: Dict[str, Any], description: Optional[str], tags: Optional[Dict[str, str]]
) -> Dict[str, Any]:
    """Set description and tags of a version; None leaves them."""
    changed = dict(record)
    if description is not None:
        changed["description"] = description
    if tags is not None:
        changed["tags"] = {str(key): str(value) for key, value in tags.items()}
    if changed != record:
        write_json(_version_path(shared, record["name"], record["version"]), changed)
    return changed


def registration_of(shared: WorkspaceDirectory, identity: str) -> Optional[Dict[str, Any]]:
    """The latest version of any name that is the data set of this id."""
    for name in names(shared):
        for version in reversed(versions(shared, name)):
            record = read(shared, name, version)
            if record["id"] == identity:
                return record
    return None


def unregister(shared: WorkspaceDirectory, name: str) -> None:
    """Forget all versions of a name. Its data sets are still found by their ids."""
    import shutil

    shutil.rmtree(_folder(shared, name), ignore_errors=True)
