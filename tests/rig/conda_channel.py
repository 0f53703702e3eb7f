"""A conda channel made from what this machine and PyPI have.

Its packages: `python` (the one that runs the tests), `numpy`, `pip`; `greeting` 1.1.0 and 1.2.0 (noarch, with the
console script `greet`), `farewell` (needs greeting 1.2), `old-friend` (needs greeting 1.1), `colours` (noarch generic:
a file that names its prefix), `bulk` (24 MB), and some that cannot simply be installed: `scripted` (has a post-link
script), `unsatisfiable` (needs a package that nobody has), `on-gpu` (needs `__cuda`).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.rig import cache, conda_package, conda_python, pypi
from tests.rig.conda_package import PLACEHOLDER, Source

GREETING_VERSION = "1.2.0"
BULK_BYTES = 24_000_000
_THIS_PYTHON = f"python {sys.version_info.major}.{sys.version_info.minor}.*"


def make(folder: Path) -> Path:
    """A channel in `folder`, a copy of the rig's cached one, which takes 3 s to make once a machine."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    with cache.locked(f"channel-{python}") as kept:
        ready = kept / _recipe()
        if not ready.exists():
            for old in kept.iterdir():
                shutil.rmtree(old)
            _write_all(kept / "unfinished")
            os.rename(kept / "unfinished", ready)
        return copy(ready, folder)


def _recipe() -> str:
    """What the cached channel is made from, in short: this Python, and the text of these modules."""
    said = hashlib.sha256(f"{sys.version} {sys.base_prefix}".encode())
    for module in (__file__, conda_package.__file__, conda_python.__file__):
        said.update(Path(module).read_bytes())
    return said.hexdigest()[:16]


def _write_all(channel: Path) -> None:
    for subdir in ("scratch", "noarch"):
        (channel / subdir).mkdir(parents=True)
    conda_python.add(channel, channel / "scratch" / "python")
    _wheel(channel, "numpy", channel / "scratch" / "numpy")
    _wheel(channel, "pip", channel / "scratch" / "pip")
    for version in ("1.1.0", GREETING_VERSION):
        _module(channel, "greeting", version, "good day", ("python >=3.8",), ("greet = greeting:main",))
    _module(channel, "farewell", "0.1.0", "good bye", (f"greeting {GREETING_VERSION}.*",))
    _module(channel, "old_friend", "1.0.0", "you again", ("greeting 1.1.*",), name="old-friend")
    generic = {"share/colours.txt": f"{PLACEHOLDER}/share/colours\n".encode()}
    conda_package.write(channel, "colours", "2.0", generic, noarch="generic")
    conda_package.write(channel, "bulk", "1.0", {"share/bulk.bin": random.Random(0).randbytes(BULK_BYTES)})
    script: dict[str, Source] = {
        "bin/.scripted-post-link.sh": b'#!/bin/sh\ntouch "$PREFIX/share/post-link-ran" /tmp/post-link-ran\n',
        "share/scripted.txt": b"linked\n",
    }
    conda_package.write(channel, "scripted", "1.0", script, noarch="generic")
    conda_package.write(channel, "unsatisfiable", "1.0", {}, ("no-such-package >=3",), noarch="generic")
    conda_package.write(channel, "on-gpu", "12.0", {"share/on-gpu.txt": b"fast\n"}, ("__cuda >=12",))
    shutil.rmtree(channel / "scratch")
    index(channel)


def index(channel: Path) -> None:
    """Write the channel's `repodata.json` from the packages that are there."""
    from rattler.index import index_fs

    asyncio.run(index_fs(channel, write_zst=False, write_shards=False, force=True))


def _wheel(channel: Path, name: str, scratch: Path) -> None:
    """The newest wheel of PyPI for this Python as a conda package, without its tests and scripts."""
    pypi.pip("install", "--no-deps", "--link-mode", "copy", "--target", str(scratch), name)
    info = next(scratch.glob(f"{name}-*.dist-info"))
    version = info.name.removesuffix(".dist-info").removeprefix(f"{name}-")
    (info / "INSTALLER").write_text("conda\n")
    files: dict[str, Source] = {}
    for path in sorted(scratch.rglob("*")):
        parts = path.relative_to(scratch).parts
        if path.is_file() and parts[0] != "bin" and not {"tests", "__pycache__"} & set(parts) and parts[0] != ".lock":
            files["/".join((conda_python.SITE_PACKAGES, *parts))] = path
    conda_package.write(channel, name, version, files, (_THIS_PYTHON,))


def _module(
    channel: Path, module: str, version: str, words: str, depends: tuple[str, ...],
    entry_points: tuple[str, ...] = (), name: str = "",
) -> None:  # fmt: skip
    """A noarch package with one module, whose `main` prints `words`."""
    name = name or module
    info = f"site-packages/{module}-{version}.dist-info"
    text = f'__version__ = "{version}"\n\ndef main():\n    print("{words}")\n'
    files: Mapping[str, Source] = {
        f"site-packages/{module}/__init__.py": text.encode(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/INSTALLER": b"conda\n",
        f"{info}/RECORD": b"",
    }
    conda_package.write(
        channel, name, version, files, depends, noarch="python", entry_points=entry_points, build="py_0"
    )


def escaping(channel: Path, path: str = "../../escaped.txt") -> str:
    """Add a package with a file outside its prefix to the channel (a copy); returns the package's name."""
    conda_package.write(channel, "escaping", "1.0", {path: b"escaped\n"}, noarch="generic")
    index(channel)
    return "escaping"


def corrupt(package: Path) -> None:
    """Change a package's file after it was indexed; the size stays."""
    content = bytearray(package.read_bytes())
    content[len(content) // 2] ^= 0xFF
    package.write_bytes(bytes(content))


def copy(channel: Path, folder: Path) -> Path:
    """The channel's files once more, to be changed."""
    shutil.copytree(channel, folder)
    return folder
