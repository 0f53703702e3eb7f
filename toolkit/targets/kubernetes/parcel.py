"""What a pod reads before it starts: the in-script side, the sources and the plan, in Secrets that are mounted there.

Images come from environments alone, and pods share no disk with this machine. What is the same for many runs is in
Secrets by its content, which every run that needs them owns with the others: the cluster deletes them with the last.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from toolkit.inscript import workcopy
from toolkit.targets.base import LaunchError
from toolkit.targets.kubernetes.manifest import NODE_FOLDER, PARCEL_FOLDER

PART_BYTES = 900 * 1024  # a Secret takes 1 MiB
MOST_BYTES = 8 << 20  # of the packed sources: it all goes through the cluster's API and is kept in its database
_START, _INDEX = "start.json", "index.json"
_BOOT = """\
import io, json, os, signal, sys, tarfile
signal.signal(signal.SIGTERM, lambda number, frame: os._exit(143))
parcel, node = sys.argv[1:3]
def read(name):
    with open(os.path.join(parcel, name), "rb") as file:
        return file.read()
index = json.loads(read("index.json").decode())
for folder, parts in index["folders"].items():
    with tarfile.open(fileobj=io.BytesIO(b"".join(map(read, parts))), mode="r:gz") as packed:
        if hasattr(tarfile, "data_filter"):
            packed.extraction_filter = tarfile.data_filter
        packed.extractall(os.path.join(node, folder))
start = json.loads(read("start.json").decode())
rank = os.environ.get("TOOLKIT_NODE_RANK", "0")
if rank != "0":
    start["sizes"] = index["sizes"].get(rank, {})
path = os.path.join(node, "start.json")
with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
    json.dump(start, file)
package = type(sys)("toolkit")
package.__path__ = [node + "/code/toolkit"]
sys.modules["toolkit"] = package
from toolkit.inscript.streamed import INSCRIPT, SNAPSHOT, main
sys.exit(main(path, {INSCRIPT: node + "/code", SNAPSHOT: node + "/snapshot"}))
"""


@dataclass(frozen=True)
class Part:
    """A Secret of one part of something that is shared by content.

    Attributes:
        name: of the Secret, and of the file in it.
    """

    name: str
    content: bytes


@dataclass(frozen=True)
class Parcel:
    """All that the pods of a run read.

    Attributes:
        own: the files of the Secret that is the run's own.
        shared: by folder on the node, the parts of its packed content.
    """

    own: dict[str, bytes]
    shared: dict[str, list[Part]]

    @property
    def parts(self) -> list[Part]:
        return [part for parts in self.shared.values() for part in parts]


def command(python: str) -> list[str]:
    """What starts in a pod, with the interpreter of its image."""
    return [python, "-I", "-S", "-c", _BOOT, PARCEL_FOLDER, NODE_FOLDER]


def pack(code: Path, snapshot: dict[str, str] | None, start: dict[str, Any], sizes: dict[str, Any]) -> Parcel:
    """Pack what a run needs.

    Args:
        code: the folder of the in-script side.
        snapshot: `{"store", "id"}` of the sources on this machine.
        start: the document for `toolkit.inscript.streamed`.
        sizes: by the number of a further node, what is here of its growing files.

    Raises:
        LaunchError: the sources are too large for this way.
    """
    shared = {"code": _parts("code", _packed_code(code))}
    if snapshot:
        shared["snapshot"] = _parts("sources", _packed_snapshot(snapshot["store"], snapshot["id"]))
    index = {"folders": {name: [part.name for part in parts] for name, parts in shared.items()}, "sizes": sizes}
    return Parcel({_START: json.dumps(start).encode(), _INDEX: json.dumps(index).encode()}, shared)


def secret(name: str, files: dict[str, bytes], metadata: dict[str, Any], immutable: bool = True) -> dict[str, Any]:
    """A Secret with these files."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {**metadata, "name": name},
        "type": "Opaque",
        "immutable": immutable,
        "data": {key: base64.b64encode(content).decode("ascii") for key, content in files.items()},
    }


def _parts(kind: str, packed: bytes) -> list[Part]:
    digest = hashlib.sha256(packed).hexdigest()[:24]
    pieces = range(0, len(packed), PART_BYTES)
    return [Part(f"toolkit-{kind}-{digest}-{number}", packed[at : at + PART_BYTES]) for number, at in enumerate(pieces)]


@lru_cache(maxsize=2)
def _packed_code(folder: Path) -> bytes:
    files = sorted(folder.rglob("*.py"))
    return _packed((str(file.relative_to(folder)), file.read_bytes) for file in files)


@lru_cache(maxsize=8)
def _packed_snapshot(store: str, snapshot_id: str) -> bytes:
    manifest = workcopy.manifest_path(store, snapshot_id)
    found = {f"manifests/{Path(manifest).name}": manifest}
    for entry in workcopy.entries(store, snapshot_id):
        if "sha256" in entry:
            path = workcopy.blob_path(store, str(entry["sha256"]))
            found[str(Path(path).relative_to(store))] = path
    return _packed((name, Path(path).read_bytes) for name, path in sorted(found.items()))


class _TooLarge(Exception):
    pass


class _Limited(io.BytesIO):
    def write(self, content: Any) -> int:
        if self.tell() > MOST_BYTES:
            raise _TooLarge
        return super().write(content)


def _packed(files: Iterator[tuple[str, Callable[[], bytes]]]) -> bytes:
    """A tar.gz that says nothing but names and contents: the same whenever it is made."""
    packed = _Limited()
    try:
        with (
            gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, compresslevel=6) as squeezed,
            tarfile.open(fileobj=squeezed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for name, read in files:
                content = read()
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o644
                archive.addfile(member, io.BytesIO(content))
    except _TooLarge:
        raise LaunchError(
            f"the sources are larger than {MOST_BYTES >> 20} MB when they are packed, which is the most that goes "
            "through the API of a Kubernetes cluster: leave data out of source_directory (name it in its .amlignore) "
            "and put it on a claim that the compute target mounts, as in volumes: {datasets: /data}"
        ) from None
    return packed.getvalue()
