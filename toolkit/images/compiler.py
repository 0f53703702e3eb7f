"""Bytecode for images: compiled on this machine by a Python of the same version, the same bytes on every machine.

It is never checked against its source, whose time is zero in an image, and which nobody edits there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.environments import file_lock
from toolkit.errors import EnvironmentBuildError
from toolkit.images import bytecode_worker, fragments
from toolkit.images.fragments import IN_IMAGE, Entry

_GROUP = 2_000_000  # bytes of source that one process compiles
_LIBRARY = re.compile(rf"{IN_IMAGE[1:]}/lib/python3\.\d+/")
_NEVER_IMPORTED = re.compile(r"/(tests?|idle_test|idlelib|turtledemo|lib2to3|testing/_internal)/")


@dataclass(frozen=True)
class Python:
    """A Python on this machine that compiles, and the tag of its bytecode, as in "cpython-311"."""

    path: str
    tag: str


def tag_of(version: str) -> str:
    """The tag of the bytecode of a version of CPython."""
    major, minor = version.split(".")[:2]
    return f"cpython-{major}{minor}"


def is_bytecode(name: str) -> bool:
    """Whether a file is bytecode beside its source: packages bring some with times that do not hold in an image."""
    return name.endswith(".pyc") and "/__pycache__/" in name


def sources(entries: Sequence[Entry]) -> list[Entry]:
    """The files that runs may import: tests are left to compile themselves."""
    return [
        entry
        for entry in sorted(entries, key=lambda entry: entry.name)
        if entry.name.endswith(".py") and not entry.link and _LIBRARY.match(entry.name)
        and not _NEVER_IMPORTED.search(entry.name)
    ]  # fmt: skip


class Compilation:
    """The bytecode of several packages, compiled in the background while something else is done.

    Args:
        python: what compiles; None leaves all uncompiled.
        packages: the entries of each package, by its key.
        folder: a new folder for the bytecode.
    """

    def __init__(self, python: Python | None, packages: dict[str, list[Entry]], folder: Path) -> None:
        self._files: dict[str, list[Path]] = {}
        self._folders: dict[str, tuple[str, ...]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `stop`)
        groups = list(self._groups(python, packages, folder)) if python else []
        if python is None or not groups:
            return
        folder.mkdir()
        words = [python.path, "-s", "-S", "-W", "ignore", bytecode_worker.__file__, str(os.cpu_count() or 1)]
        environ = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
        with tempfile.TemporaryFile() as given:
            given.write(json.dumps(groups).encode("utf-8", "surrogateescape"))
            given.seek(0)
            self._process = subprocess.Popen(
                words, env=environ, cwd=folder, stdin=given, stdout=subprocess.DEVNULL, stderr=self._messages,
                pass_fds=file_lock.held(), start_new_session=True,
            )  # fmt: skip

    def _groups(self, python: Python, packages: dict[str, list[Entry]], folder: Path) -> Iterator[list[object]]:
        for key, entries in packages.items():
            self._files[key] = []
            compiled = sources(entries)
            self._folders[key] = fragments.folders(_cached(entry.name, python.tag) for entry in compiled)
            group: list[list[str]] = []
            waiting = 0
            for entry in (*compiled, None):
                if group and (entry is None or waiting >= _GROUP):
                    file = folder / f"{key}.{len(self._files[key])}"
                    self._files[key].append(file)
                    yield [group, str(file)]
                    group, waiting = [], 0
                if entry is not None:
                    group.append([entry.source, entry.name, _cached(entry.name, python.tag)])
                    waiting += entry.size

    def wait(self) -> None:
        """Wait for all of it.

        Raises:
            EnvironmentBuildError: the Python that compiles failed.
        """
        if self._process is None or self._process.wait() == 0:
            return
        self._messages.seek(0)
        words = self._messages.read().decode(errors="replace").strip()
        raise EnvironmentBuildError(f"the bytecode of the image could not be made:\n{words[-2000:]}")

    def stop(self) -> None:
        """End it where it goes on."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
        self._messages.close()

    def folders(self, key: str) -> tuple[str, ...]:
        """The folders of a package's bytecode."""
        return self._folders[key]

    def size(self, key: str) -> int:
        """The size of a package's bytecode, in bytes."""
        return sum(file.stat().st_size for file in self._files.get(key, ()))

    def blocks(self, key: str) -> Iterator[bytes]:
        """A package's bytecode as a part of a layer."""
        for file in self._files.get(key, ()):
            yield from fragments.read(file)


def _cached(name: str, tag: str) -> str:
    folder, file = os.path.split(name)
    return f"{folder}/__pycache__/{file.removesuffix('.py')}.{tag}.pyc"


def works(path: str, version: str) -> bool:
    """Whether the interpreter starts here and writes the bytecode of `version`."""
    code = "import sys; print(sys.implementation.cache_tag)"
    if not path or shutil.which(path) is None:
        return False
    try:
        answer = subprocess.run([path, "-S", "-s", "-c", code], capture_output=True, text=True, timeout=20, env={})
    except (OSError, subprocess.SubprocessError):
        return False
    return answer.returncode == 0 and answer.stdout.strip() == tag_of(version)
