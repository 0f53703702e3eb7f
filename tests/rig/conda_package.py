"""Conda packages (`.conda`), written from files: a zip of two tars, the content and what is said of it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import zstandard

PLACEHOLDER = "/opt/placeholder_of_the_test_channel_" + "p" * 60  # what the prefix's path is put for in files
Source = Path | bytes


def write(
    channel: Path, name: str, version: str, files: Mapping[str, Source], depends: tuple[str, ...] = (),
    links: Mapping[str, str] | None = None, noarch: str = "", entry_points: tuple[str, ...] = (), build: str = "0_test",
) -> Path:  # fmt: skip
    """Write a package into its subdirectory of the channel, which has to be indexed afterwards; returns its file.

    Args:
        files: by their path in the prefix; those that hold `PLACEHOLDER` get the prefix when they are linked.
        links: symbolic ones, by their path.
        noarch: "python", with files below `site-packages/`, or "generic"; "" for this platform alone.
        entry_points: console scripts of a noarch python package, as in "greet = greeting:main".
    """
    from rattler import Subdir

    links = links or {}
    subdir = "noarch" if noarch else str(Subdir.current())
    about = {"name": name, "version": version, "build": build, "build_number": 0, "subdir": subdir,
             "depends": list(depends), **({"noarch": noarch} if noarch else {})}  # fmt: skip
    content, paths = _content(files, links)
    said = {
        "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}),
        "info/index.json": json.dumps(about),
        "info/files": "\n".join([*files, *links]),
    }
    if entry_points:
        noarch_python = {"type": "python", "entry_points": list(entry_points)}
        said["info/link.json"] = json.dumps({"noarch": noarch_python, "package_metadata_version": 1})
    information = io.BytesIO()
    with tarfile.open(fileobj=information, mode="w") as archive:
        for path, text in said.items():
            _add(archive, path, text.encode())
    return _zip(channel / subdir, f"{name}-{version}-{build}", content, information.getvalue())


def _content(files: Mapping[str, Source], links: Mapping[str, str]) -> tuple[bytes, list[dict[str, object]]]:
    """The tar of the files, and the list of them for `paths.json`."""
    content = io.BytesIO()
    paths: list[dict[str, object]] = []
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path, source in files.items():
            paths.append(_file(archive, path, source))
        for path, target in links.items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
            paths.append({"_path": path, "path_type": "softlink"})
    return content.getvalue(), paths


def _file(archive: tarfile.TarFile, path: str, source: Source) -> dict[str, object]:
    """Add a file, and return what `paths.json` says of it."""
    content = source.read_bytes() if isinstance(source, Path) else source
    executable = bool(source.stat().st_mode & 0o111) if isinstance(source, Path) else content.startswith(b"#!")
    _add(archive, path, content, 0o755 if executable else 0o644)
    entry: dict[str, object] = {
        "_path": path, "path_type": "hardlink", "sha256": hashlib.sha256(content).hexdigest(),
        "size_in_bytes": len(content),
    }  # fmt: skip
    if PLACEHOLDER.encode() in content:
        entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": "text"}
    return entry


def _add(archive: tarfile.TarFile, path: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(content), mode
    archive.addfile(member, io.BytesIO(content))


def _zip(folder: Path, stem: str, content: bytes, information: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    compressor = zstandard.ZstdCompressor(level=1)
    parts = {
        "metadata.json": json.dumps({"conda_pkg_format_version": 2}).encode(),
        f"pkg-{stem}.tar.zst": compressor.compress(content),
        f"info-{stem}.tar.zst": compressor.compress(information),
    }
    with zipfile.ZipFile(folder / f"{stem}.conda", "w") as package:
        for name, part in parts.items():
            package.writestr(zipfile.ZipInfo(name), part)  # without the time: the same input gives the same bytes
    return folder / f"{stem}.conda"
