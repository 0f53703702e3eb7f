"""Packages laid out as they will be in an image: linked or installed into a folder, then taken apart by package."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from toolkit.environments import conda_link, uv
from toolkit.environments.lock import Lock
from toolkit.environments.process import Log
from toolkit.environments.store import Store
from toolkit.errors import EnvironmentBuildError
from toolkit.images import compiler
from toolkit.images.fragments import IN_IMAGE, Entry, entry_of
from toolkit.images.packages import Package
from toolkit.images.platforms import Platform
from toolkit.inscript.files import read_json

_IN_PREFIX = ("bin", "etc", "include", "lib", "share")  # where --target puts what a wheel has for the prefix
_OF_THIS_MACHINE = ("uv_cache.json", "direct_url.json")
_LINK_SCRIPT = re.compile(r"bin/\.(.+)-(?:post|pre)-link\.sh")
_NOT_KEPT = ("extracted_package_dir", "package_tarball_full_path", "link", "url", "channel", "fn", "requested_specs",
             "requested_spec")  # fmt: skip
_SHEBANG = re.compile(rb"#!(?:/bin/sh\n'''exec' [^\n]*\n' '''|[^\n]*python[^\n]*)\n")
_LARGEST_SCRIPT = 1_000_000


@dataclass(frozen=True)
class Laid:
    """A package that is laid out.

    Args:
        entries: its files, as an image has them, without bytecode.
        notices: what the user should know of it.
        conda_meta: what conda says of it, apart from where it came from.
    """

    entries: list[Entry]
    notices: tuple[str, ...] = ()
    conda_meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """A folder in which packages are laid out for one lock and one platform; removed by whoever made it."""

    folder: Path
    lock: Lock
    platform: Platform
    store: Store
    log: Log

    @property
    def site_packages(self) -> str:
        """The folder of Python packages in the image, without the slash in front."""
        major, minor = self.lock.python.version.split(".")[:2]
        return f"{IN_IMAGE[1:]}/lib/python{major}.{minor}/site-packages"

    def with_python(self) -> str:
        """The Python of the conda packages, laid out; "" where none of them is Python."""
        if not self.lock.conda:
            return ""
        path = self.folder / "conda" / "bin" / "python"
        if not path.exists():
            self._link([])
        return str(path)

    def lay_out(self, packages: Sequence[Package]) -> dict[str, Laid]:
        """Lay out packages; what each has, by its key.

        Raises:
            EnvironmentBuildError: a package cannot be fetched, verified or installed, or is unsafe.
            StorageError: the disk is full.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        laid = {}
        conda = [one for one in packages if one.conda]
        if conda:
            self._link(conda)
            laid.update({one.key: self._linked(one) for one in conda})
        wheels = [one for one in packages if not one.conda]
        if wheels:
            laid.update(self._installed(wheels))
        return laid

    # -- conda packages ---------------------------------------------------------------------------------------------

    def _link(self, packages: Sequence[Package]) -> None:
        """Link packages; Python is always one of them, since others are linked as it is laid out."""
        wanted = {one.name for one in packages} | {"python"}
        chosen = tuple(one for one in self.lock.conda if one.name in wanted)
        conda_link.link(chosen, self.folder / "conda", Path(IN_IMAGE), self.log, self.store, self.platform.subdir)

    def _linked(self, package: Package) -> Laid:
        root = self.folder / "conda"
        assert package.conda is not None
        name = f"{package.conda.name}-{package.conda.version}-{package.conda.build}.json"
        document = read_json(str(root / "conda-meta" / name), {})
        entries: list[Entry] = []
        notices: list[str] = []
        for path in document.get("files", ()):
            conda_link.checked_name(path, str(package))
            if compiler.is_bytecode(path):
                continue
            entries.append(entry_of(f"{IN_IMAGE[1:]}/{path}", _own_version(root, path, package.name)))
            if _LINK_SCRIPT.fullmatch(path):
                notices.append(conda_link.notice_of(path, package.name))
        kept = {key: value for key, value in document.items() if key not in _NOT_KEPT}
        return Laid(entries, tuple(notices), kept)

    # -- wheels -----------------------------------------------------------------------------------------------------

    def _installed(self, packages: Sequence[Package]) -> dict[str, Laid]:
        target = self.folder / "pip"
        self._install(packages, target)
        records = _records(target)
        owners = Counter(path for rows in records.values() for path in rows)
        laid: dict[str, Laid] = {}
        for index, package in enumerate(packages):
            if package.name not in records:
                raise EnvironmentBuildError(f"uv installed {package} without a record of its files; please report it")
            folder, rows = target, records[package.name]
            if any(owners[path] > 1 for path in rows):  # files of one name in two packages: each gives its own
                folder = self.folder / f"pip-{index}"
                self._install([package], folder)
                rows = _records(folder)[package.name]
            laid[package.key] = Laid(self._wheel_entries(package, folder, rows))
        return laid

    def _install(self, packages: Sequence[Package], target: Path) -> None:
        arguments = [
            "--target", str(target), "--python", sys.executable, "--python-version", self.lock.python.version,
            "--python-platform", self.platform.for_uv, *self.lock.options,
        ]  # fmt: skip
        advice = (
            "Look at the first error above: a package that has to be compiled may need a compiler or headers, and for "
            "an image it has to be compiled for the image's Python."
        )
        uv.install([one.requirement for one in packages], arguments, self.log, self.store.building, advice)

    def _wheel_entries(self, package: Package, target: Path, rows: dict[str, list[str]]) -> list[Entry]:
        entries: list[Entry] = []
        record: list[list[str]] = []
        record_name = ""
        for path, row in sorted(rows.items()):
            conda_link.checked_name(path, str(package))
            if compiler.is_bytecode(path) or path.endswith(tuple(f".dist-info/{one}" for one in _OF_THIS_MACHINE)):
                continue
            inside, shown = self._place(target, path)
            if path.endswith(".dist-info/RECORD") and path.count("/") == 1:
                record_name = inside
                record.append([shown, "", ""])
                continue
            entry = entry_of(inside, str(target / path))
            script = _as_in_image(target / path) if path.startswith("bin/") and not entry.link else None
            if script is not None:
                entry, row = Entry(inside, 0o755, content=script), [path, _digest(script), str(len(script))]
            entries.append(entry)
            record.append([shown, *row[1:]])
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(record)
        return [*entries, Entry(record_name, content=text.getvalue().encode("utf-8", "surrogateescape"))]

    def _place(self, target: Path, path: str) -> tuple[str, str]:
        """Where a file of a wheel is in the image, and what the wheel's own record calls it."""
        top, slash, _ = path.partition("/")
        if slash and top in _IN_PREFIX and not (target / top / "__init__.py").exists():
            return f"{IN_IMAGE[1:]}/{path}", f"../../../{path}"
        return f"{self.site_packages}/{path}", path


def _own_version(root: Path, path: str, package: str) -> str:
    """A package's own file where two packages have one of the same name."""
    aside = root / "__clobbers__" / f"{path}__clobber-from-{package}"
    return str(aside if aside.exists() else root / path)


def _records(target: Path) -> dict[str, dict[str, list[str]]]:
    """The rows of the RECORD of each distribution in a folder, by the path they are for."""
    found: dict[str, dict[str, list[str]]] = {}
    for folder in sorted(target.glob("*.dist-info")):
        with (folder / "RECORD").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = {row[0]: row for row in csv.reader(file) if row}
        found[canonicalize_name(folder.name.partition("-")[0])] = rows
    return found


def _as_in_image(path: Path) -> bytes | None:
    """A script with the image's interpreter in its first line; None for what is no script of Python's."""
    if path.stat().st_size > _LARGEST_SCRIPT:
        return None
    content = path.read_bytes()
    match = _SHEBANG.match(content)
    return f"#!{IN_IMAGE}/bin/python\n".encode() + content[match.end() :] if match else None


def _digest(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
