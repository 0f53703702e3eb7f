"""Zip files that a Ray cluster keeps by their content and unpacks once a node."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from toolkit.errors import ToolkitError
from toolkit.inscript import workcopy
from toolkit.targets.ray.client import RayClient

MOST_BYTES = 100 * 2**20  # what Ray's dashboard takes
START, PROGRAM = "start.json", "start.py"
_EPOCH = (1980, 1, 1, 0, 0, 0)

# Runs on the node, in the folder of the package, with any Python 3.6 or later.
_PROGRAM = """\
import json, os, sys

with open("start.json") as file:
    start = json.load(file)
os.unlink("start.json")  # it may hold secrets, and is needed no more
folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
here = [folder for folder in folders if os.path.basename(folder) in start["packages"].values()]
places = {mark: folder for mark, name in start["packages"].items() for folder in here if folder.endswith(name)}
rest = [folder for folder in folders if folder not in here and folder != os.getcwd()]
os.environ["PYTHONPATH"] = os.pathsep.join(rest)
if not rest:
    del os.environ["PYTHONPATH"]
job = json.loads(os.environ.pop("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
os.environ["RAY_JOB_CONFIG_JSON_ENV_VAR"] = json.dumps({"metadata": job.get("metadata", {})})
for name in ("RAY_JOB_STOP_WAIT_TIME_S", "RAY_worker_niceness"):
    os.environ.pop(name, None)
sys.path.insert(0, places["@toolkit-inscript@"])
package = type(sys)("toolkit")
package.__path__ = [places["@toolkit-inscript@"] + "/toolkit"]
sys.modules["toolkit"] = package
from toolkit.inscript.streamed import Streamed
sys.exit(Streamed(start, places).main())
"""


@dataclass(frozen=True)
class Package:
    """A package by its content.

    Attributes:
        name: as in "_ray_pkg_<digest>"; the folder of a node that it is unpacked to is called so.
    """

    name: str
    content: bytes

    @property
    def uri(self) -> str:
        return f"gcs://{self.name}.zip"

    def send(self, client: RayClient) -> None:
        """Have the cluster keep it; nothing is sent where it does already."""
        if not client.has_package(f"{self.name}.zip"):
            client.put_package(f"{self.name}.zip", self.content)


@lru_cache(maxsize=2)
def of_folder(folder: Path) -> Package:
    """A folder that does not change, without bytecode."""
    files = sorted(path for path in folder.rglob("*.py"))
    return _pack((str(path.relative_to(folder)), path.read_bytes()) for path in files)


@lru_cache(maxsize=4)
def of_snapshot(store: str, snapshot_id: str) -> Package:
    """A snapshot as a store that has nothing else.

    Raises:
        ToolkitError: it is larger than a cluster takes.
    """
    manifest = workcopy.manifest_path(store, snapshot_id)
    names = {manifest}
    names.update(
        workcopy.blob_path(store, str(entry["sha256"]))
        for entry in workcopy.entries(store, snapshot_id)
        if "sha256" in entry
    )
    made = _pack((str(Path(name).relative_to(store)), Path(name).read_bytes()) for name in sorted(names))
    if len(made.content) >= MOST_BYTES:
        raise ToolkitError(
            f"the sources of the run are {len(made.content) >> 20} MB when they are packed, and Ray's dashboard takes "
            f"{MOST_BYTES >> 20} MB: add what the run does not need to .amlignore, and put data where the nodes can "
            "read it"
        )
    return made


def of_start(document: dict[str, Any], packages: dict[str, Package]) -> Package:
    """What one job starts with: its program, and the document that says what to run.

    Args:
        packages: the packages that the marks of the document stand for.
    """
    document = {**document, "packages": {mark: package.name for mark, package in packages.items()}}
    return _pack([(PROGRAM, _PROGRAM.encode()), (START, json.dumps(document).encode())])


def _pack(files: Iterable[tuple[str, bytes]]) -> Package:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    content = made.getvalue()
    return Package(f"_ray_pkg_{hashlib.sha256(content).hexdigest()[:40]}", content)
