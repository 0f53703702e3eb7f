"""Datastores as the workspace keeps them: a file each, and what is secret of one in a file that only its owner reads.

    datastores/<name>.json     {"name", "type", "url", "options", "account"}
    datastores/<name>.secret   options that no log may show: keys, tokens
    datastores/default.json    {"name": the default one}

The two that every workspace has are folders of its own and have no file.
"""

import os
import re
from typing import Any, Dict, List

from toolkit.data.locations import Location, location_at
from toolkit.inscript import elsewhere
from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.files import read_json, write_json
from toolkit.inscript.workspace_directory import WorkspaceDirectory

DEFAULT = "workspaceblobstore"
OWN = {DEFAULT: "AzureBlob", "workspacefilestore": "AzureFile"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")


def checked_name(name: object) -> str:
    """`name` if it can be a datastore's.

    Raises:
        UserErrorException: it cannot.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name == "default":
        raise UserErrorException(
            "%r cannot be the name of a datastore: use letters, digits, underscores, hyphens and dots, "
            "a letter or digit first, and not 'default'" % (name,)
        )
    return name


def read(shared: WorkspaceDirectory, name: str) -> Dict[str, Any]:
    """The record of a datastore, without its secrets.

    Raises:
        UserErrorException: the workspace has none of this name.
    """
    name = checked_name(name)
    record = read_json(_path(shared, name))
    if record is not None:
        return dict(record)
    if name not in OWN:
        elsewhere.refuse(shared, "the datastore '%s'" % name)
        raise UserErrorException(
            "Could not find datastore '%s' in the workspace '%s'. It has: %s. Register it first, as with "
            "Datastore.register_fsspec(workspace, '%s', url)" % (name, shared.name, ", ".join(names(shared)), name)
        )
    url = os.path.join(shared.storage, name)
    account = {"container_name": "azureml-%s" % name, "account_name": shared.name}
    return {"name": name, "type": OWN[name], "url": url, "options": {}, "account": account}


def names(shared: WorkspaceDirectory) -> List[str]:
    """The datastores of the workspace."""
    try:
        found = {file[:-5] for file in os.listdir(shared.datastores) if file.endswith(".json")}
    except FileNotFoundError:
        found = set()
    return sorted((found | set(OWN)) - {"default"})


def write(shared: WorkspaceDirectory, record: Dict[str, Any], secrets: Dict[str, str]) -> None:
    """Keep a datastore; `secrets` are options that only the owner of the workspace may read."""
    elsewhere.refuse(shared, "the datastores")
    os.makedirs(shared.datastores, 0o700, exist_ok=True)
    secret_path = _secret_path(shared, record["name"])
    if secrets:
        write_json(secret_path, secrets, 0o600)
    elif os.path.exists(secret_path):
        os.unlink(secret_path)
    write_json(_path(shared, record["name"]), record)


def secrets_of(shared: WorkspaceDirectory, name: str) -> Dict[str, str]:
    return dict(read_json(_secret_path(shared, name), {}))


def remove(shared: WorkspaceDirectory, name: str) -> None:
    """Forget a datastore; its files stay."""
    for path in (_path(shared, name), _secret_path(shared, name)):
        if os.path.exists(path):
            os.unlink(path)
    if default_name(shared) == name:
        os.unlink(os.path.join(shared.datastores, "default.json"))


def default_name(shared: WorkspaceDirectory) -> str:
    return str(read_json(os.path.join(shared.datastores, "default.json"), {}).get("name") or DEFAULT)


def set_default(shared: WorkspaceDirectory, name: str) -> None:
    elsewhere.refuse(shared, "the datastores")
    read(shared, name)
    os.makedirs(shared.datastores, 0o700, exist_ok=True)
    write_json(os.path.join(shared.datastores, "default.json"), {"name": name})


def location(shared: WorkspaceDirectory, name: str) -> Location:
    """Where the files of a datastore are. The folder of one that every workspace has is made."""
    record = read(shared, name)
    if name in OWN:
        elsewhere.refuse(shared, "the datastore '%s'" % name)
    if name in OWN and not os.path.isdir(record["url"]):
        os.makedirs(record["url"], 0o700, exist_ok=True)
    return location_at(record["url"], {**record["options"], **secrets_of(shared, name)})


def _path(shared: WorkspaceDirectory, name: str) -> str:
    return os.path.join(shared.datastores, name + ".json")


def _secret_path(shared: WorkspaceDirectory, name: str) -> str:
    return os.path.join(shared.datastores, name + ".secret")
