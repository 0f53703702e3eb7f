"""What is in the environments, and the wheels of all of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.images import index
from benchmarks.workers import WorkerError


@dataclass(frozen=True)
class Packages:
    """An environment and small changes to it.

    Attributes:
        name: in file names and tags.
        base: its requirements.
        changes: each the requirements after another small change.
    """

    name: str
    base: tuple[str, ...]
    changes: tuple[tuple[str, ...], ...]

    @property
    def all(self) -> list[str]:
        """Every requirement, each once."""
        return list(dict.fromkeys(one for requirements in (self.base, *self.changes) for one in requirements))


_SMALL = ("numpy", "pyyaml", "requests", "tqdm", "tabulate")
_ADDED = ("iniconfig", "six", "attrs", "pluggy", "toml", "colorama")
SMALL = Packages("small", _SMALL, tuple((*_SMALL, one) for one in _ADDED))

_TORCH = ("torch=={torch}", "torchvision=={torchvision}", "numpy", "pillow")
_TQDM = ("4.67.0", "4.66.6", "4.66.5", "4.66.4", "4.66.3")


def torch(pair: Path) -> Packages:
    """The tutorial's environment with a small package whose version changes.

    Args:
        pair: the folder with the wheels of torch and torchvision.
    """
    versions = {wheel.name.split("-")[0]: wheel.name.split("-")[1] for wheel in pair.glob("torch*.whl")}
    requirements = tuple(one.format(**versions) for one in _TORCH)
    return Packages(
        "torch", (*requirements, "tqdm==4.67.1"), tuple((*requirements, f"tqdm=={version}") for version in _TQDM)
    )


def fetch(packages: Packages, python: str, folder: Path, find_links: Sequence[Path] = ()) -> None:
    """Put the wheels of all requirements and their dependencies into `folder`, as an index.

    Args:
        python: the version of the Python that they are for, as in "3.11".

    Raises:
        WorkerError: pip cannot have them.
    """
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    words = ["download", "--quiet", "--dest", str(files), "--only-binary=:all:", "--python-version", python]
    words += [word for one in find_links for word in ("--find-links", str(one))]
    pinned = [one for one in packages.all if one not in packages.base and "==" in one]  # cannot be had together
    together = [*(one for one in packages.all if one not in pinned), "pip"]  # specifications ask for pip as well
    for requirements in (together, *([one] for one in pinned)):
        command = [sys.executable, "-m", "pip", *words, *requirements]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise WorkerError(f"pip download failed: {' '.join(done.stderr.split())[-300:]}")
    index.add_wheels(folder)
