"""Where the files of a data set come from, as plain data that a run can read:

{"datastore": "workspaceblobstore", "path": "images/**/*.png"}
{"url": "https://example.org/data.csv"}      anything with a scheme
{"path": "/data/images"}                     a file, folder or glob of this machine
{"root": "/data", "path": "images"}          the same below a folder: of a datastore, as a run is given it
"""

import os
from typing import Any, Dict, List, Optional, Tuple

from toolkit.data import stores
from toolkit.data.data_reference import DataPath, DataReference
from toolkit.data.datastore import Datastore
from toolkit.data.locations import WEB, Folder, Location, Web, location_at
from toolkit.data.patterns import checked, is_glob
from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.workspace_directory import WorkspaceDirectory

Source = Dict[str, str]


def sources_of(path: Any) -> Tuple[List[Source], Optional[Any]]:
    """The sources that `path` names (as the factories of data sets take it), and the workspace of their datastores.

    Raises:
        UserErrorException: it names nothing, or two workspaces.
    """
    found: List[Source] = []
    workspaces: List[Any] = []
    for one in _listed(path):
        source, workspace = _source(one)
        found.append(source)
        if workspace is not None and all(known.shared.root != workspace.shared.root for known in workspaces):
            workspaces.append(workspace)
    if not found:
        raise UserErrorException("path is empty: give a path, a URL, or (datastore, 'path'), or a list of them")
    if len(workspaces) > 1:
        raise UserErrorException("the paths of a data set must be of one workspace, not of %d" % len(workspaces))
    return found, workspaces[0] if workspaces else None


def _listed(path: Any) -> List[Any]:
    if isinstance(path, list):
        return path
    if isinstance(path, tuple) and not (len(path) == 2 and isinstance(path[0], Datastore)):
        return list(path)
    if isinstance(path, tuple) and isinstance(path[1], (list, tuple)):
        return [(path[0], one) for one in path[1]]
    return [path]


def _source(path: Any) -> Tuple[Source, Optional[Any]]:
    if isinstance(path, tuple) and len(path) == 2 and isinstance(path[0], Datastore):
        return {"datastore": path[0].name, "path": checked(path[1])}, path[0].workspace
    if isinstance(path, Datastore):
        return {"datastore": path.name, "path": ""}, path.workspace
    if isinstance(path, DataPath):
        return {"datastore": path.datastore_name, "path": checked(path.path_on_datastore)}, path._datastore.workspace
    if isinstance(path, DataReference):
        return {"datastore": path.datastore.name, "path": checked(path.path_on_datastore)}, path.datastore.workspace
    if isinstance(path, (str, os.PathLike)):
        text = os.fspath(path)
        if "://" in text and not text.startswith("file://"):
            return {"url": text}, None
        local = text[7:] if text.startswith("file://") else text
        return {"path": os.path.abspath(os.path.expanduser(local))}, None
    raise UserErrorException(
        "%r is no path of a data set: give a path or URL as text, (datastore, 'path'), or a DataPath" % (path,)
    )


def located(source: Source, shared: Optional[WorkspaceDirectory]) -> Tuple[Location, str]:
    """The location of a source, and the file, folder or glob in there.

    Raises:
        UserErrorException: its datastore is not known.
    """
    if "datastore" in source:
        if shared is None:
            raise UserErrorException("the datastore '%s' needs a workspace" % source["datastore"])
        return stores.location(shared, source["datastore"]), source["path"]
    if "path" in source:
        return Folder(source.get("root", "/")), source["path"].lstrip("/")
    return _located_url(source["url"])


def _located_url(url: str) -> Tuple[Location, str]:
    if url.startswith(WEB):
        host, _, path = url.partition("://")[2].partition("/")
        return Web("%s://%s" % (url.partition("://")[0], host)), path
    scheme, _, rest = url.partition("://")
    parts = rest.rstrip("/").split("/")
    count = next((index for index, part in enumerate(parts) if is_glob(part)), len(parts) - 1)
    root = "/".join(parts[: max(count, 1)])
    return location_at("%s://%s" % (scheme, root)), "/".join(parts[max(count, 1) :])


def described(source: Source) -> str:
    """A source as a person would name it."""
    if "datastore" in source:
        return "('%s', '%s')" % (source["datastore"], source["path"] or "/")
    return source.get("path") or source["url"]
