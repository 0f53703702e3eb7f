"""Registering datastores: what fsspec needs to know of each, and which of it is secret."""

import os
import re
from typing import Any, Dict, Optional
from urllib.parse import urlsplit

from toolkit.data import stores
from toolkit.data.datastore import Datastore
from toolkit.inscript.errors import UserErrorException

_SECRET = re.compile(r"key|secret|token|password|passwd|credential|connection_string", re.IGNORECASE)


def register_fsspec(workspace: Any, name: str, url: str, overwrite: bool, options: Dict[str, Any]) -> Datastore:
    """See `Datastore.register_fsspec`."""
    url = os.fspath(url)
    kind = "Fsspec"
    if url.startswith("file://") or "://" not in url:
        kind = "Folder"
        url = os.path.abspath(os.path.expanduser(url[7:] if url.startswith("file://") else url))
        if not os.path.isdir(url):
            raise UserErrorException("'%s' is not a folder of this machine: make it, then register it" % url)
    elif urlsplit(url).password:
        raise UserErrorException(
            "the url has a password in it, which would be shown with it: give it beside it, as in register_fsspec("
            "workspace, %r, url, username=…, password=…), which keeps it secret" % name
        )
    plain = {key: value for key, value in options.items() if not _SECRET.search(key)}
    secret = {key: value for key, value in options.items() if _SECRET.search(key)}
    record = {"name": stores.checked_name(name), "type": kind, "url": url, "options": plain}
    return _keep(workspace, record, secret, overwrite)


def register_azure(
    workspace: Any,
    name: str,
    kind: str,
    container: str,
    account_name: str,
    account: Dict[str, Optional[str]],
    secrets: Dict[str, Optional[str]],
    overwrite: bool,
) -> Datastore:
    """Register a container of an Azure storage account, to be read with adlfs."""
    record = {
        "name": stores.checked_name(name),
        "type": kind,
        "url": "abfs://%s" % container,
        "options": {"account_name": account_name},
        "account": {"account_name": account_name, **{key: value for key, value in account.items() if value}},
    }
    return _keep(workspace, record, {key: value for key, value in secrets.items() if value}, overwrite)


def _keep(workspace: Any, record: Dict[str, Any], secrets: Dict[str, Any], overwrite: bool) -> Datastore:
    shared, name = workspace.shared, record["name"]
    if name in stores.OWN:
        raise UserErrorException("every workspace has a datastore '%s' of its own: use another name" % name)
    if name in stores.names(shared) and not overwrite:
        known = stores.read(shared, name)
        if known != record:
            raise UserErrorException(
                "Another datastore with the name '%s' already exists in the workspace '%s', at %s: use another name, "
                "or overwrite=True" % (name, shared.name, known["url"])
            )
    stores.write(shared, record, secrets)
    return Datastore(workspace, name)
