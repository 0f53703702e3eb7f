"""A lock: exactly what an environment holds, from which prefixes and images are made without another solve."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

FORMAT = 1
_CUDA = re.compile(r"cuda-|cudatoolkit|nvidia-c|torch==\S+\+cu")


@dataclass(frozen=True)
class CondaPackage:
    """One conda package. `sha256` in hex; `size` in bytes, 0 where the channel does not tell."""

    name: str
    version: str
    build: str
    build_number: int
    subdir: str
    noarch: str
    depends: tuple[str, ...]
    constrains: tuple[str, ...]
    file_name: str
    url: str
    channel: str
    sha256: str
    md5: str
    size: int
    python_site_packages_path: str = ""


@dataclass(frozen=True)
class Python:
    """The interpreter. `path` is the one that a venv is made from; "" where Python is one of the conda packages."""

    version: str
    path: str
    source: str


@dataclass(frozen=True)
class Torch:
    """Which build of torch was chosen ("cpu", "cuda", "as pinned", ...), and why; `backend`: uv's name of its index."""

    variant: str
    reason: str
    backend: str = ""


@dataclass(frozen=True)
class Lock:
    """What an environment holds.

    Args:
        platform: as in "Linux-x86_64".
        python: the interpreter.
        conda: the conda packages, by name.
        requirements: the pip packages, pinned with hashes, as a requirements file.
        options: arguments of `uv pip` with which the requirements are found (further indexes of the specification).
        substitutions: conda entries and the PyPI requirements that stand for them.
        notices: what the user should know of how this was solved.
        torch: the choice of torch's build; None without torch.
        created: seconds since 1970.
    """

    platform: str
    python: Python
    conda: tuple[CondaPackage, ...] = ()
    requirements: str = ""
    options: tuple[str, ...] = ()
    substitutions: tuple[tuple[str, str], ...] = ()
    notices: tuple[str, ...] = ()
    torch: Torch | None = None
    created: float = field(default_factory=time.time)
    format: int = FORMAT

    @property
    def hash(self) -> str:
        """32 hex digits over what is installed; not over times, notices and reasons.

        Half of a SHA-256: the whole one in a prefix's path would push shebang lines past the kernel's limit.
        """
        content = {
            "format": self.format,
            "platform": self.platform,
            "python": [self.python.version, self.python.path],
            "conda": sorted([p.subdir, p.name, p.version, p.build, p.sha256] for p in self.conda),
            "requirements": self.requirements,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def entries(self) -> list[str]:
        """The pip packages one by one, each with the lines of its hashes."""
        found: list[str] = []
        for line in self.requirements.splitlines():
            if line.startswith((" ", "\t")) and found:
                found[-1] += "\n" + line
            elif line.strip():
                found.append(line)
        return found

    @property
    def brings_cuda(self) -> bool:
        """Whether CUDA's libraries are among the packages."""
        return any(map(_CUDA.match, (*(package.name for package in self.conda), *self.entries)))

    def to_dict(self) -> dict[str, Any]:
        """The lock as JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Lock:
        """The lock that `to_dict` wrote."""
        values = dict(document)
        values["python"] = Python(**values["python"])
        values["torch"] = Torch(**values["torch"]) if values.get("torch") else None
        values["conda"] = tuple(_package(one) for one in values["conda"])
        for name in ("options", "notices"):
            values[name] = tuple(values[name])
        values["substitutions"] = tuple((pair[0], pair[1]) for pair in values["substitutions"])
        return cls(**values)


def _package(document: Mapping[str, Any]) -> CondaPackage:
    values = dict(document)
    for name in ("depends", "constrains"):
        values[name] = tuple(values[name])
    return CondaPackage(**values)
