"""Solving the pip part with uv into pinned requirements with hashes."""

from __future__ import annotations

import re
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from toolkit.environments import requirements_file, torch_variant, uv
from toolkit.environments.lock import Torch
from toolkit.environments.process import Log, Outcome
from toolkit.images.platforms import Platform

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)
_PINS_ADVICE = "Change the pins that contradict each other, or the version of Python that they have to fit."
_NETWORK_ADVICE = "Check the network, and the indexes in pip's configuration (`pip config list`) and the pip section."


@dataclass(frozen=True)
class PipProblem:
    """What the pip part has to hold.

    Args:
        lines: the requirements and the option lines.
        constraints: versions for what is installed anyway.
        python: an interpreter for uv to work with.
        python_version: the version to solve for.
        provided: names and versions that the conda part brings already.
        platform: where the packages will run; None for this machine.
    """

    lines: tuple[str, ...]
    constraints: tuple[str, ...]
    python: str
    python_version: str
    provided: tuple[tuple[str, str], ...] = ()
    platform: Platform | None = None

    @property
    def requirements(self) -> tuple[str, ...]:
        return tuple(line for line in self.lines if not line.startswith("-"))

    @property
    def options(self) -> tuple[str, ...]:
        return tuple(requirements_file.uv_options(self.lines))


@dataclass(frozen=True)
class PipSolution:
    """Pinned requirements with hashes, the `uv pip` arguments to find them with, and the choice of torch's build."""

    requirements: str
    options: tuple[str, ...]
    torch: Torch | None


def solve(problem: PipProblem, gpu: bool, log: Log, folder: Path) -> PipSolution:
    """Solve the pip part.

    Args:
        gpu: whether the environment is for a machine with a GPU.
        folder: where temporary files can be written.

    Raises:
        EnvironmentBuildError: with uv's own words.
        StorageError: the disk is full.
    """
    if not problem.requirements:
        return PipSolution("", (), None)
    with tempfile.TemporaryDirectory(dir=folder, prefix="solve-") as scratch:
        solver = Solver(problem, log, Path(scratch))
        outcome = solver.compile()
        if outcome.code != 0:
            network = "Failed to fetch" in outcome.messages
            advice = _NETWORK_ADVICE if network else _PINS_ADVICE
            uv.fail("the pip packages cannot be solved; uv says", outcome, advice, folder)
        requirements, torch = torch_variant.choose(solver, outcome.output, gpu)
    options = (*problem.options, *(("--torch-backend", torch.backend) if torch and torch.backend else ()))
    return PipSolution(requirements, options, torch)


class Solver:
    """Runs `uv pip compile` on one problem, as often as the choice of torch's build needs it."""

    def __init__(self, problem: PipProblem, log: Log, scratch: Path) -> None:
        self.problem = problem
        self.log = log
        self._scratch = scratch
        self._provided = _stub_wheels(problem.provided, scratch / "provided")

    def compile(
        self,
        constraints: tuple[str, ...] = (),
        arguments: tuple[str, ...] = (),
        show: bool = True,
        seconds: float | None = None,
        **variables: str,
    ) -> Outcome:
        """Solve with further constraints, arguments and variables of uv; `seconds` bounds the time."""
        constraint_file = self._scratch / "constraints.txt"
        lines = [*self.problem.constraints, *(f"{name}=={v}" for name, v in self._provided), *constraints]
        words = ["-", "--generate-hashes", "--no-header", "--no-annotate",
                 "--python", self.problem.python, "--python-version", self.problem.python_version]  # fmt: skip
        if self.problem.platform:
            words += ["--python-platform", self.problem.platform.for_uv]
        if lines:
            constraint_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
            words += ["--constraints", str(constraint_file)]
        if self._provided:
            words += ["--find-links", str(self._scratch / "provided")]
            words += [word for name, _ in self._provided for word in ("--no-emit-package", name)]
        return uv.pip(
            "compile", [*words, *self.problem.options, *arguments], self.log, self._scratch,
            stdin="\n".join(self.problem.requirements) + "\n", show=show, seconds=seconds, **variables,
        )  # fmt: skip


def pins(requirements: str) -> dict[str, Version]:
    """The names and versions in what uv solved; requirements by URL have none."""
    found: dict[str, Version] = {}
    for name, version in _PIN.findall(requirements):
        try:
            found[canonicalize_name(name)] = Version(version)
        except InvalidVersion:
            continue
    return found


def _stub_wheels(provided: tuple[tuple[str, str], ...], folder: Path) -> list[tuple[str, str]]:
    """A wheel without content for each Python package of the conda part, so that uv takes it for what is there.

    Their own dependencies are left out: conda's solver has seen to them.
    """
    made: list[tuple[str, str]] = []
    folder.mkdir()
    for name, version in provided:
        try:
            normal = str(Version(version))
        except InvalidVersion:
            continue  # not a version that pip could ask for
        stem = f"{canonicalize_name(name).replace('-', '_')}-{normal}"
        with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
            info = f"{stem}.dist-info"
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {normal}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        made.append((name, normal))
    return made
