"""From a specification to a lock: which interpreter, which source of packages, and what uv and rattler make of it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from toolkit.environments import channels, conda_requirement, conda_solve, interpreters, offered, pip_solve, substitutes
from toolkit.environments.interpreters import Interpreter
from toolkit.environments.lock import CondaPackage, Lock, Python
from toolkit.environments.pip_solve import PipProblem, PipSolution
from toolkit.environments.process import Log
from toolkit.environments.spec import EnvironmentSpec
from toolkit.environments.specification_file import validate
from toolkit.environments.store import Store
from toolkit.errors import EnvironmentBuildError
from toolkit.images.bases import Base
from toolkit.images.platforms import Platform

_NEEDS_NO_CHANNEL = {"python", "pip", "setuptools", "wheel"}


def solve(spec: EnvironmentSpec, gpu: bool, log: Log, store: Store, scratch: Path, base: Base | None = None) -> Lock:
    """Solve a specification; every choice is told to the log before it is acted on.

    Args:
        scratch: a folder for temporary files.
        base: the base of the image that it is for; None for a prefix on this machine.

    Raises:
        EnvironmentSpecificationError: the specification cannot work as it was written.
        EnvironmentBuildError: no solution; with the solver's own words.
        StorageError: the disk is full.
    """
    spec, notices = offered.drop(spec)
    validate(spec)
    told: list[str] = []

    def tell(notice: str) -> None:
        told.append(notice)
        log(notice)

    for notice in notices:
        tell(notice)
    platform = base.platform if base else None
    interpreter = _of_base(spec, base, log, tell) if base else _interpreter(spec, log, tell, store)
    if interpreter is None:
        lock = _with_channels(spec, gpu, log, store, scratch, platform)
    else:
        lock = _with_uv(spec, interpreter, gpu, log, tell, scratch, platform)
    return replace(lock, notices=tuple(told))


def _interpreter(spec: EnvironmentSpec, log: Log, tell: Log, store: Store) -> Interpreter | None:
    """The interpreter for packages from PyPI, or None where the channels bring all; the reason goes to the log."""
    requirements = [conda_requirement.parse(entry) for entry in spec.conda]
    pin = next((one for one in requirements if one.name == "python"), None)
    plain = {one.name for one in requirements} <= _NEEDS_NO_CHANNEL
    if spec.package_source == "pypi":
        log("source: PyPI, as package_source says")
        return interpreters.find(pin, log, store.building)
    if plain and spec.package_source == "auto":
        log("source: PyPI with a Python of this machine; the conda part needs no channel")
        try:
            return interpreters.find(pin, log, store.building)
        except interpreters.NoInterpreterError as error:
            if not _answering(spec, log):
                raise
            tell(f"{str(error).partition('. Found:')[0]}: taking Python from the conda channels")
            return None
    if _answering(spec, log):
        log(f"source: the conda channels {', '.join(channels.names(spec.channels))}")
        return None
    tell("no conda channel answers: taking the conda packages from PyPI")
    return interpreters.find(pin, log, store.building)


def _of_base(spec: EnvironmentSpec, base: Base, log: Log, tell: Log) -> Interpreter | None:
    """The base image's own Python for packages from PyPI, or None where the channels bring all."""
    if spec.package_source == "pypi":
        log("source: PyPI with the base image's Python, as package_source says")
        why = "package_source is 'pypi'"
    elif _answering(spec, log):
        log(f"source: the conda channels {', '.join(channels.names(spec.channels))}")
        return None
    else:
        tell("no conda channel answers: taking the packages from PyPI, with the base image's Python")
        why = "no conda channel answers"
    pin = next((one for one in map(conda_requirement.parse, spec.conda) if one.name == "python"), None)
    if base.python and (pin is None or not pin.version or interpreters.satisfies(base.python_version, pin)):
        return Interpreter(base.python, base.python_version, f"of the base image {base.reference}")
    has = f"has Python {base.python_version}" if base.python else "has no Python"
    wanted = f" that satisfies '{pin.text}'" if pin and pin.version else ""
    raise EnvironmentBuildError(
        f"the image would need a Python{wanted}, and has none: {why}, and the base image {base.reference} {has}. Take "
        "Python from a conda channel that can be reached ('channels' of the specification; a folder with file:// will "
        "do), or set environment.docker.base_image to an image with such a Python"
    )


def _answering(spec: EnvironmentSpec, log: Log) -> bool:
    """Whether the channels answer. Some that do and some that do not would make another environment than was asked.

    Raises:
        EnvironmentBuildError: only a part of them answers, or none where they are the only source.
    """
    answers = channels.probe(channels.names(spec.channels))
    failed = [f"{answer.channel} ({answer.reason})" for answer in answers if answer.reason]
    for one in failed:
        log(f"conda channel {one} does not answer")
    if failed and (len(failed) < len(answers) or spec.package_source == "conda"):
        raise EnvironmentBuildError(
            f"these conda channels do not answer: {'; '.join(failed)}. Check their names and the network, take them "
            "out of 'channels', or take the packages from PyPI with package_source='pypi'"
        )
    return not failed


def _with_uv(
    spec: EnvironmentSpec, interpreter: Interpreter, gpu: bool, log: Log, tell: Log, scratch: Path,
    platform: Platform | None,
) -> Lock:  # fmt: skip
    """A venv: an interpreter of this machine or of a base image, everything from PyPI."""
    log(f"interpreter: Python {interpreter.version}, {interpreter.path} ({interpreter.source})")
    substitution = substitutes.substitute(spec.conda)
    for notice in substitution.notices:
        tell(notice)
    lines = (*substitution.pip, *spec.pip)
    runs = sys.executable if platform else interpreter.path
    problem = PipProblem(lines, spec.constraints, runs, interpreter.version, platform=platform)
    solution = pip_solve.solve(problem, gpu, log, scratch)
    python = Python(interpreter.version, interpreter.path, interpreter.source)
    return _lock(python, (), solution, substitution.pairs, platform)


def _with_channels(
    spec: EnvironmentSpec, gpu: bool, log: Log, store: Store, scratch: Path, platform: Platform | None
) -> Lock:  # fmt: skip
    """A conda prefix: Python and the conda part from the channels, the pip part on top of them."""
    packages = conda_solve.solve(spec, gpu, log, store, platform)
    megabytes = sum(package.size for package in packages) / 1e6
    log(f"conda: {len(packages)} packages, {megabytes:.1f} MB")
    for package in packages:
        log(f"  {package.name} {package.version} {package.build}")
    version = next(package.version for package in packages if package.name == "python")
    problem = PipProblem(
        spec.pip,
        spec.constraints,
        sys.executable,
        version,
        provided=conda_solve.python_packages(packages),
        platform=platform,
    )
    solution = pip_solve.solve(problem, gpu, log, scratch)
    return _lock(Python(version, "", "conda"), packages, solution, (), platform)


def _lock(
    python: Python, conda: tuple[CondaPackage, ...], solution: PipSolution, pairs: tuple[tuple[str, str], ...],
    platform: Platform | None,
) -> Lock:  # fmt: skip
    machine = os.uname()
    return Lock(
        platform=platform.name if platform else f"{machine.sysname}-{machine.machine}", python=python, conda=conda,
        requirements=solution.requirements, options=solution.options, substitutions=pairs, torch=solution.torch,
    )  # fmt: skip
