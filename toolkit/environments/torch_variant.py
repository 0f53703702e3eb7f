"""Which build of torch: without a GPU a CPU build where there is one, and never two halves that do not fit together."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from packaging import tags
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from toolkit.environments import pip_config, pip_solve
from toolkit.environments.lock import Torch
from toolkit.environments.requirements_file import local_path

if TYPE_CHECKING:
    from toolkit.environments.pip_solve import Solver

FAMILY = ("torch", "torchvision", "torchaudio")
_CPU_INDEX_SECONDS = 30.0
_ATTEMPTS = 8


def choose(solver: Solver, solved: str, gpu: bool) -> tuple[str, Torch | None]:
    """The requirements to install and what was chosen for torch; None where torch is not among them.

    Args:
        solved: the requirements as uv solved them by default.
        gpu: whether the environment is for a machine with a GPU.
    """
    family = _family(solved)
    if "torch" not in family:
        return solved, None
    given = _given(solver, family)
    if given is not None:
        chosen, torch = solved, given
    elif gpu:
        chosen, torch = _without_cpu_builds(solver, solved, "the environment is for a GPU")
    elif _are_cpu(family):
        chosen, torch = solved, Torch("cpu", "the indexes and folders in use have CPU builds for what is asked")
    else:
        chosen, torch = _cpu_build(solver, solved, family)
    versions = ", ".join(f"{name} {version}" for name, version in _family(chosen).items())
    solver.log(f"torch: {versions} ({torch.variant}): {torch.reason}")
    return chosen, torch


def _given(solver: Solver, family: dict[str, Version]) -> Torch | None:
    """The choice that the user or the platform has made already."""
    backend = os.environ.get("UV_TORCH_BACKEND", "")
    if backend:
        return Torch(backend, "UV_TORCH_BACKEND asks for it")
    for line in solver.problem.requirements:
        try:
            requirement = Requirement(line.split(" --")[0])
        except InvalidRequirement:
            continue
        local = [one.version for one in requirement.specifier if "+" in one.version]
        if canonicalize_name(requirement.name) == "torch" and (local or requirement.url):
            return Torch(family["torch"].local or "as pinned", f"'{line}' asks for it")
    if sys.platform != "linux":
        return Torch("default", "there is one build for this platform")
    return None


def _cpu_build(solver: Solver, solved: str, family: dict[str, Version]) -> tuple[str, Torch]:
    """A CPU build from PyTorch's own index, else from a local folder, else the default build."""
    if "--no-index" not in solver.problem.options and not pip_config.read().no_index:
        outcome = solver.compile(
            arguments=("--torch-backend", "cpu"), show=False, seconds=_CPU_INDEX_SECONDS,
            UV_HTTP_RETRIES="0", UV_HTTP_TIMEOUT="2", UV_HTTP_CONNECT_TIMEOUT="1",
        )  # fmt: skip
        if outcome.code == 0 and _are_cpu(_family(outcome.output)):
            return outcome.output, Torch("cpu", "there is no GPU: from PyTorch's index of CPU builds", "cpu")
        words = [line.strip() for line in outcome.messages.splitlines() if line.strip()]
        missed = f"PyTorch's index of CPU builds did not serve it ({words[-1] if words else 'no answer in time'})"
    else:
        missed = "no index may be used"
    for constraints, folder in _local_builds(solver, family):
        outcome = solver.compile(constraints=constraints, show=False)
        if outcome.code == 0:
            return outcome.output, Torch("cpu", f"there is no GPU: from the find-links folder {folder}; {missed}")
    reason = f"there is no GPU, but no CPU build of {' and '.join(family)} either: {missed}; nor in find-links"
    return _without_cpu_builds(solver, solved, reason)


def _local_builds(solver: Solver, family: dict[str, Version]) -> list[tuple[tuple[str, ...], str]]:
    """Pins for CPU wheels of the whole family in local find-links folders, the newest torch first."""
    supported = _tags(solver.problem.python_version)
    builds: dict[str, dict[Version, str]] = {name: {} for name in family}
    for folder in _folders(solver.problem.options):
        for wheel in sorted(folder.glob("torch*.whl")):
            try:
                name, version, _, wheel_tags = parse_wheel_filename(wheel.name)
            except InvalidWheelFilename:
                continue
            if name in builds and version.local == "cpu" and wheel_tags & supported:
                builds[name][version] = str(folder)
    choices = [[(name, v) for v in sorted(builds[name], reverse=True)] for name in family]
    combinations = itertools.islice(itertools.product(*choices), _ATTEMPTS)
    return [(tuple(f"{name}=={v}" for name, v in one), builds["torch"][one[0][1]]) for one in combinations]


def _without_cpu_builds(solver: Solver, solved: str, reason: str) -> tuple[str, Torch]:
    """The default build; solved again where a CPU build of a part had slipped in through a local folder."""
    mixed = [f"{name}!={version}" for name, version in _family(solved).items() if version.local == "cpu"]
    if mixed:
        outcome = solver.compile(constraints=tuple(mixed), show=False)
        if outcome.code != 0:
            variant = "cpu" if _are_cpu(_family(solved)) else "mixed"
            return solved, Torch(variant, f"{reason}, and there is no other build")
        solved = outcome.output
    cuda = any(name.startswith("nvidia-") for name in pip_solve.pins(solved))
    return solved, Torch("cuda" if cuda else "default", reason)


def _family(requirements: str) -> dict[str, Version]:
    found = pip_solve.pins(requirements)
    return {name: found[name] for name in FAMILY if name in found}


def _are_cpu(family: dict[str, Version]) -> bool:
    return bool(family) and all(version.local == "cpu" for version in family.values())


def _tags(python_version: str) -> set[tags.Tag]:
    major, minor = (int(part) for part in python_version.split(".")[:2])
    platforms = list(tags.platform_tags())
    return {
        *tags.cpython_tags((major, minor), platforms=platforms),
        *tags.compatible_tags((major, minor), f"cp{major}{minor}", platforms),
    }


def _folders(options: tuple[str, ...]) -> list[Path]:
    """The local folders among the find-links of pip, of uv and of the specification."""
    links = [*pip_config.read().find_links, *os.environ.get("UV_FIND_LINKS", "").split(",")]
    links += [value for name, value in itertools.pairwise(options) if name == "--find-links"]
    paths = [local_path(link) if link.startswith("file://") else Path(link) for link in links if link]
    return [path for path in dict.fromkeys(paths) if path.is_dir()]
