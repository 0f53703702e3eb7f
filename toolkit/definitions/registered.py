"""Registered environments on this machine: a folder a name, a file a version, and its locks beside it.

<name>/<version>.json         the definition and its digest; the claim of a version is the link that makes this file
<name>/<version>.locks.json   the locks that are known of it
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.definitions import definition as definitions
from toolkit.definitions.lock_file import LockFile
from toolkit.errors import storage_errors
from toolkit.inscript.files import claim_json, read_json, write_json

_LOCKS = ".locks.json"


@dataclass(frozen=True)
class Version:
    """A registered version.

    Args:
        name, version: as in "pytorch-env" and "3".
        definition: what `definition.of` made.
        digest: of the definition.
    """

    name: str
    version: str
    definition: dict[str, Any]
    digest: str


@dataclass(frozen=True)
class Registered:
    """The registered environments in a folder."""

    root: Path

    def names(self) -> list[str]:
        """The names of which there is a version."""
        try:
            return sorted(e.name for e in os.scandir(self.root) if e.name[0] != "." and self.versions(e.name))
        except FileNotFoundError:
            return []

    def versions(self, name: str) -> list[str]:
        """The versions of a name: "1", "2", …; where there is none of these, what submits have kept, oldest first."""
        try:
            found = [e for e in os.scandir(self.root / name) if e.name.endswith(".json")]
        except (FileNotFoundError, NotADirectoryError):
            return []
        kept = [entry for entry in found if not entry.name.endswith(_LOCKS)]
        numbers = sorted(int(entry.name[:-5]) for entry in kept if entry.name[:-5].isdigit())
        if numbers:
            return [str(number) for number in numbers]
        return [entry.name[:-5] for entry in sorted(kept, key=lambda entry: entry.stat().st_mtime_ns)]

    def read(self, name: str, version: str) -> Version | None:
        """A version, or None where there is none."""
        document = read_json(str(self.root / name / f"{version}.json"))
        if document is None:
            return None
        return Version(name, version, {k: v for k, v in document.items() if k != "digest"}, document["digest"])

    def find(self, name: str, digest: str) -> Version | None:
        """The version with this digest, or None."""
        for version in self.versions(name):
            found = self.read(name, version)
            if found is not None and found.digest == digest:
                return found
        return None

    def add(self, name: str, definition: dict[str, Any]) -> Version:
        """The version of a definition: the one that is there, or the next one: "1", "2", …"""
        digest = definitions.digest(definition)
        with self._errors(name):
            while True:
                present = self.find(name, digest)
                if present is not None:
                    return present
                numbers = [int(version) for version in self.versions(name) if version.isdigit()]
                found = self._claim(Version(name, str(max(numbers, default=0) + 1), definition, digest))
                if found is not None:
                    return found

    def put(self, version: Version) -> Version:
        """Keep a version whose number was given elsewhere."""
        with self._errors(version.name):
            return self._claim(version) or version

    def locks(self, name: str, version: str) -> tuple[LockFile, ...]:
        """The locks that are known of a version."""
        documents = read_json(str(self.root / name / f"{version}{_LOCKS}"), [])
        return tuple(LockFile.from_dict(document) for document in documents)

    def put_locks(self, name: str, version: str, locks: tuple[LockFile, ...]) -> None:
        """Keep locks beside a version."""
        with self._errors(name):
            (self.root / name).mkdir(parents=True, exist_ok=True)
            write_json(str(self.root / name / f"{version}{_LOCKS}"), [lock.to_dict() for lock in locks])

    def _claim(self, version: Version) -> Version | None:
        folder = self.root / version.name
        folder.mkdir(parents=True, exist_ok=True)
        document = {"digest": version.digest, **version.definition}
        return version if claim_json(str(folder / f"{version.version}.json"), document) else None

    def _errors(self, name: str) -> Any:
        return storage_errors("cannot register the environment", self.root / name)
