"""Lock files: a lock beside the specification that it was made from, to be committed, shared, and used as it is.

The file is JSON, sorted, without times, credentials and paths that were not asked for: the same solve writes the same
bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.environments.key import squeezed
from toolkit.environments.lock import Lock, Python
from toolkit.environments.pip_config import without_credentials
from toolkit.environments.spec import EnvironmentSpec
from toolkit.errors import UserErrorException, storage_errors
from toolkit.inscript.files import read_json, write_json, write_text

FORMAT = 1
SUFFIX = ".lock.json"
PREFIX, IMAGE = "prefix", "image"


@dataclass(frozen=True)
class LockFile:
    """A lock and what it was made for.

    Args:
        specification: what was solved.
        lock: what that came to.
        gpu: whether it is for a machine with a GPU.
        kind: "prefix" for this machine's own folders, "image" for container images.
    """

    specification: EnvironmentSpec
    lock: Lock
    gpu: bool = False
    kind: str = PREFIX

    @property
    def hash(self) -> str:
        """32 hex digits over what is installed and for what: the same on every machine, wherever its Python lies."""
        python = replace(self.lock.python, path="")
        content = [replace(self.lock, python=python).hash, self.gpu, self.kind]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]

    def is_of(self, specification: EnvironmentSpec) -> bool:
        """Whether it was made from this specification; its variables and where packages come from do not count."""
        return _asked(self.specification) == _asked(specification)

    def fits(self, gpu: bool, kind: str) -> bool:
        """Whether a run on this machine, with or without a GPU, in a prefix or an image, can use it.

        Whether it is for the platform of an image is known when there is the image's base.
        """
        same_kind = self.kind == kind or bool(self.lock.conda)
        same_gpu = self.gpu == gpu or not (self.lock.torch or self.lock.conda)
        return same_kind and same_gpu and (kind == IMAGE or self.lock.platform == this_platform())

    def to_dict(self) -> dict[str, Any]:
        """The file as JSON has it."""
        lock = self.lock.to_dict()
        del lock["created"]
        if self.kind == PREFIX:  # where its Python lies is each machine's own matter: see `for_this_machine`
            lock["python"] = {"version": self.lock.python.version, "path": "", "source": self.lock.python.source}
            if not self.lock.conda:
                lock["python"]["source"] = ""
        document = {
            "toolkit_lock": FORMAT,
            "specification": self.specification.to_dict(),
            "gpu": self.gpu,
            "kind": self.kind,
            "lock": lock,
        }
        return public(document)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> LockFile:
        """The lock file that `to_dict` wrote."""
        return cls(
            specification=EnvironmentSpec.from_dict(document["specification"]),
            lock=Lock.from_dict({"created": 0.0, **document["lock"]}),
            gpu=bool(document["gpu"]),
            kind=str(document["kind"]),
        )


def public(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document as others get it: without the credentials in its URLs."""
    found: dict[str, Any] = json.loads(without_credentials(json.dumps(document)).replace("://***@", "://"))
    return found


def this_platform() -> str:
    """This machine as locks name it, as in "Linux-x86_64"."""
    machine = os.uname()
    return f"{machine.sysname}-{machine.machine}"


def beside(specification: str | os.PathLike[str]) -> Path:
    """Where the lock of a specification's file is: `pytorch-env.lock.json` for `pytorch-env.yml`."""
    return Path(specification).with_suffix(SUFFIX)


def write(lock: LockFile, path: str | os.PathLike[str]) -> None:
    """Write a lock file, whole or not at all.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
        UserErrorException: there is no such folder, or the path is one.
    """
    file = Path(path)
    if file.is_dir() or not file.absolute().parent.is_dir():
        what = "it is a folder" if file.is_dir() else f"there is no folder {file.absolute().parent}"
        raise UserErrorException(f"cannot write the lock {file}: {what}; name a file, as in 'pytorch-env{SUFFIX}'")
    with storage_errors("cannot write the lock", file):
        write_text(str(file), text(lock))


def text(lock: LockFile) -> str:
    """The content of a lock file."""
    return json.dumps(lock.to_dict(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read(path: str | os.PathLike[str], this_platform_only: bool = True) -> LockFile:
    """The lock in a file.

    Args:
        this_platform_only: refuse one that is for another platform.

    Raises:
        UserErrorException: the file is missing, broken, of a newer toolkit, or for another platform.
    """
    file = Path(path)
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserErrorException(
            f"the lock {file} does not exist; relative paths count from {Path.cwd()}. `toolkit environment lock FILE` "
            "writes the lock of a specification"
        ) from None
    except (OSError, ValueError) as error:
        raise UserErrorException(f"the lock {file} cannot be read: {error}. {_ANEW}") from error
    if not isinstance(document, dict) or "toolkit_lock" not in document:
        raise UserErrorException(f"{file} is no lock of the toolkit. {_ANEW}")
    if document["toolkit_lock"] != FORMAT:
        raise UserErrorException(
            f"the lock {file} has the format {document['toolkit_lock']!r}, and this toolkit knows {FORMAT}: use the "
            f"toolkit that wrote it. Or {_ANEW[0].lower()}{_ANEW[1:]}"
        )
    try:
        lock = LockFile.from_dict(document)
    except (UserErrorException, KeyError, TypeError, ValueError, IndexError) as error:
        raise UserErrorException(f"the lock {file} is broken ({type(error).__name__}: {error}). {_ANEW}") from error
    if this_platform_only and lock.kind == PREFIX and lock.lock.platform != this_platform():
        raise UserErrorException(
            f"the lock {file} was made on {lock.lock.platform}, and this machine is {this_platform()}: make one here, "
            f"as in `toolkit environment lock SPECIFICATION -o {file.name.removesuffix(SUFFIX)}.{this_platform()}"
            f"{SUFFIX}`, and use it with Environment.from_lock"
        )
    return lock


_ANEW = "Make it anew with `toolkit environment lock FILE`, FILE being its specification"


def check_is_of(lock: LockFile, file: Path, specification: EnvironmentSpec, specification_file: Path) -> None:
    """Refuse a lock whose specification has changed since.

    Raises:
        UserErrorException: with what was added and taken away, and the command that makes the lock anew.
    """
    if lock.is_of(specification):
        return
    before, now = _asked(lock.specification), _asked(specification)
    changes = []
    for name, old, new in ((name, before[name], now[name]) for name in now):
        changes += [f"{name} has '{entry}', which the lock has not" for entry in new if entry not in old]
        changes += [f"{name} lost '{entry}'" for entry in old if entry not in new]
    flags = (" --gpu" if lock.gpu else "") + (" --image" if lock.kind == IMAGE else "")
    raise UserErrorException(
        f"{specification_file} has changed since its lock {file.name} was made: "
        f"{'; '.join(changes) or 'the order of its channels'}. Make the lock anew with "
        f"`toolkit environment lock {specification_file}{flags}`, or delete it to solve at every change"
    )


def for_this_machine(lock: Lock) -> Lock | None:
    """The lock with the Python of this machine, where it needs one of the machine's; None where there is none."""
    if lock.conda or (lock.python.path and _is_version(lock.python.path, lock.python.version)):
        return lock
    path = _own_python(lock.python.version) or _found_python(lock.python.version)
    return replace(lock, python=Python(lock.python.version, path, "found")) if path else None


def _is_version(path: str, version: str) -> bool:
    """Whether the interpreter at `path` is of this minor version."""
    minor = ".".join(version.split(".")[:2])
    if not os.access(path, os.X_OK):
        return False
    named = re.search(r"python(\d+\.\d+)$", os.path.realpath(path))
    if named:
        return named[1] == minor
    return path == _own_path() and minor == ".".join(platform.python_version_tuple()[:2])


def _own_python(version: str) -> str:
    return _own_path() if version.split(".")[:2] == list(platform.python_version_tuple()[:2]) else ""


def _own_path() -> str:
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def _found_python(version: str) -> str:
    """An interpreter of the minor version that uv finds or downloads; "" for none. What was found once is noted."""
    from toolkit.environments import conda_requirement, interpreters
    from toolkit.environments.store import store

    minor = ".".join(version.split(".")[:2])
    place = store()
    note = place.root / "pythons.json"
    noted: dict[str, str] = read_json(str(note), {})
    if minor in noted and _is_version(noted[minor], version):
        return noted[minor]
    place.make_folders()
    try:
        found = interpreters.find(conda_requirement.parse(f"python={minor}"), lambda line: None, place.building)
    except interpreters.NoInterpreterError:
        return ""
    write_json(str(note), {**noted, minor: found.path})
    return found.path


def _asked(specification: EnvironmentSpec) -> dict[str, list[str]]:
    """What decides the packages, in an order of its own but for the channels, whose order counts."""
    return {
        "channels": [*map(squeezed, specification.channels)],
        "dependencies": sorted(map(squeezed, specification.conda)),
        "pip": sorted(map(squeezed, specification.pip)),
        "constraints": sorted(map(squeezed, specification.constraints)),
        "channel_priority": [specification.channel_priority],
    }
