"""What is known of a host: what it said when it was reached last, kept in the workspace's agent folder."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolkit.inscript.files import claim_json, read_json, write_json
from toolkit.inscript.host.layout import Layout
from toolkit.paths import WorkspacePaths
from toolkit.targets.mount import inscript_folder
from toolkit.targets.ssh.connection import Address


@dataclass(frozen=True)
class Facts:
    """A host's own words.

    Attributes:
        folder: the toolkit's folder there; `workspace` is "<key>/<name>" of this one, `inscript` a folder in it.
        python: the interpreter that starts runs.
        machine: as in "x86_64"; `system` as in "Linux".
        glibc: version of its C library, "" where it is another one.
    """

    folder: str
    workspace: str
    inscript: str
    python: str
    machine: str
    system: str
    glibc: str

    @classmethod
    def of(cls, hello: dict[str, Any]) -> Facts:
        return cls(**{name: hello[name] for name in cls.__dataclass_fields__})

    @property
    def layout(self) -> Layout:
        """Where things of the workspace are there."""
        return Layout(self.folder, self.workspace, self.inscript)

    @property
    def is_of_this_version(self) -> bool:
        """Whether the in-script side that was there is the one of this toolkit."""
        return os.path.basename(self.inscript) == inscript_folder().name


def workspace_key(paths: WorkspacePaths) -> str:
    """What the workspace is called on hosts: "<key>/<name>". No other workspace has that key, wherever it is."""
    file = _folder(paths) / "id.json"
    file.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
    claim_json(str(file), secrets.token_hex(8))
    here = f"{read_json(str(file))}\0{os.uname().nodename}\0{paths.root}"  # a copy of the folder is another workspace
    return f"{hashlib.sha256(here.encode()).hexdigest()[:12]}/{paths.root.name}"


def read(address: Address, paths: WorkspacePaths) -> Facts | None:
    """What was said last, or None for a host that was never reached from this workspace."""
    document = read_json(str(_file(address, paths)))
    try:
        facts = Facts(**document) if document else None
    except TypeError:  # of another version of the toolkit
        return None
    return facts if facts is not None and facts.is_of_this_version else None


def keep(facts: Facts, address: Address, paths: WorkspacePaths) -> None:
    file = _file(address, paths)
    file.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
    if read(address, paths) != facts:
        write_json(str(file), asdict(facts))


def _file(address: Address, paths: WorkspacePaths) -> Path:
    digest = hashlib.sha256(repr(address).encode()).hexdigest()[:16]
    return _folder(paths) / f"{digest}.json"


def _folder(paths: WorkspacePaths) -> Path:
    return paths.agent / "hosts"
