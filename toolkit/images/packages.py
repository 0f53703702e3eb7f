"""The packages of a lock, each with the key of what it contributes to images."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from toolkit.environments.lock import CondaPackage, Lock
from toolkit.images.fragments import IN_IMAGE

_FORMAT = 1  # to be raised when the same package should give another fragment than before
_NAME = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?:==\s*([^\s;\\]+)|@)?")


@dataclass(frozen=True)
class Package:
    """A package of a lock.

    Args:
        key: 64 hex digits over what decides its files: its hashes, the version of Python, the platform.
        conda: the conda package; None for one of the pip part.
        requirement: its entry of the pip part, with hashes.
    """

    name: str
    version: str
    key: str
    conda: CondaPackage | None = None
    requirement: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()


def packages_of(lock: Lock, platform: str) -> list[Package]:
    """The packages of a lock for a platform such as "x86_64-manylinux_2_36"."""
    common = [_FORMAT, IN_IMAGE, lock.python.version, platform]
    found = [
        Package(one.name, one.version, _key(*common, "conda", one.name, one.build, one.sha256 or one.md5), one)
        for one in sorted(lock.conda, key=lambda one: one.name)
    ]
    for entry in sorted(lock.entries):
        match = _NAME.match(entry)
        name, version = (match[1], match[2] or "") if match else (entry, "")
        found.append(Package(canonicalize_name(name), version, _key(*common, "pip", entry), requirement=entry))
    return found


def _key(*content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
