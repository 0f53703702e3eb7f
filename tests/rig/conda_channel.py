"""A conda channel made from what this machine has: the Python that runs the tests, and a small noarch package."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import zstandard

_LEFT_OUT = ("test", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "site-packages", "__pycache__")
_PLACEHOLDER = "/opt/placeholder_of_the_test_channel_" + "p" * 60
GREETING_VERSION = "1.2.0"


def make(folder: Path) -> Path:
    """Make a channel in `folder` with `python` (this version) and `greeting` (noarch, with a console script)."""
    from rattler import Subdir

    subdir = str(Subdir.current())
    (folder / "noarch").mkdir(parents=True)
    (folder / subdir).mkdir()
    _python(folder / subdir, subdir)
    for version in ("1.1.0", GREETING_VERSION):
        _greeting(folder / "noarch", version)
    index(folder)
    return folder


def index(folder: Path) -> None:
    """Write the channel's `repodata.json` from the packages that are there."""
    from rattler.index import index_fs

    asyncio.run(index_fs(folder, write_zst=False, write_shards=False, force=True))


def _python(folder: Path, subdir: str) -> None:
    version = ".".join(str(part) for part in sys.version_info[:3])
    minor = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix)
    files: dict[str, Path | bytes] = {f"bin/{minor}": base / "bin" / minor}
    library = base / "lib" / minor
    for path in sorted(library.rglob("*")):
        relative = path.relative_to(library)
        wanted = not any(part in _LEFT_OUT or part.startswith("config-") for part in relative.parts)
        if wanted and path.is_file():
            files[f"lib/{minor}/{relative}"] = path
    for shared in sorted((base / "lib").glob("libpython*.so*")):
        if shared.name.startswith(f"lib{minor}"):
            files[f"lib/{shared.name}"] = shared
    files[f"lib/{minor}/site-packages/README.txt"] = b"packages go here\n"
    files["share/where.txt"] = f"{_PLACEHOLDER}/share\n".encode()
    links = {"bin/python": minor, "bin/python3": minor}
    about = {"name": "python", "version": version, "build": "0_test", "build_number": 0, "subdir": subdir}
    _write(folder, about, files, links)


def _greeting(folder: Path, version: str) -> None:
    info = f"site-packages/greeting-{version}.dist-info"
    module = f'__version__ = "{version}"\n\ndef main():\n    print("good day")\n'
    files: dict[str, Path | bytes] = {
        "site-packages/greeting/__init__.py": module.encode(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: greeting\nVersion: {version}\n".encode(),
        f"{info}/INSTALLER": b"conda\n",
        f"{info}/RECORD": b"",
    }
    about = {"name": "greeting", "version": version, "build": "py_0", "build_number": 0, "subdir": "noarch",
             "noarch": "python", "depends": ["python >=3.8"]}  # fmt: skip
    _write(folder, about, files, {}, entry_points=["greet = greeting:main"])


def _write(
    folder: Path, about: dict[str, object], files: dict[str, Path | bytes], links: dict[str, str],
    entry_points: list[str] | None = None,
) -> None:  # fmt: skip
    """Write one package as `.conda`: a zip of two tars, one of the content and one of what is said about it."""
    content, information = io.BytesIO(), io.BytesIO()
    paths: list[dict[str, object]] = []
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path, source in files.items():
            paths.append(_file(archive, path, source))
        for path, target in links.items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
            paths.append({"_path": path, "path_type": "softlink"})
    with tarfile.open(fileobj=information, mode="w") as archive:
        _add(archive, "info/paths.json", json.dumps({"paths": paths, "paths_version": 1}).encode())
        _add(archive, "info/index.json", json.dumps(about).encode())
        _add(archive, "info/files", "\n".join([*files, *links]).encode())
        if entry_points:
            link = {"noarch": {"type": "python", "entry_points": entry_points}, "package_metadata_version": 1}
            _add(archive, "info/link.json", json.dumps(link).encode())
    stem = f"{about['name']}-{about['version']}-{about['build']}"
    compressor = zstandard.ZstdCompressor(level=1)
    with zipfile.ZipFile(folder / f"{stem}.conda", "w") as package:
        package.writestr("metadata.json", json.dumps({"conda_pkg_format_version": 2}))
        package.writestr(f"pkg-{stem}.tar.zst", compressor.compress(content.getvalue()))
        package.writestr(f"info-{stem}.tar.zst", compressor.compress(information.getvalue()))


def _file(archive: tarfile.TarFile, path: str, source: Path | bytes) -> dict[str, object]:
    """Add a file, and return what `paths.json` says of it."""
    content = source.read_bytes() if isinstance(source, Path) else source
    executable = isinstance(source, Path) and source.stat().st_mode & 0o111
    _add(archive, path, content, 0o755 if executable else 0o644)
    entry: dict[str, object] = {
        "_path": path, "path_type": "hardlink", "sha256": hashlib.sha256(content).hexdigest(),
        "size_in_bytes": len(content),
    }  # fmt: skip
    if _PLACEHOLDER.encode() in content:
        entry |= {"prefix_placeholder": _PLACEHOLDER, "file_mode": "text"}
    return entry


def _add(archive: tarfile.TarFile, path: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(content), mode
    archive.addfile(member, io.BytesIO(content))


def corrupt(package: Path) -> None:
    """Change a package's file after it was indexed; the size stays."""
    content = bytearray(package.read_bytes())
    content[len(content) // 2] ^= 0xFF
    package.write_bytes(bytes(content))


def copy(channel: Path, folder: Path) -> Path:
    """The channel's files once more, to be changed."""
    shutil.copytree(channel, folder)
    return folder
