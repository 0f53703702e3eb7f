"""Compute targets by name: settings from the workspace configuration, classes loaded when they are used."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from toolkit.configuration import WorkspaceConfiguration
from toolkit.environments.request import DEFAULT_BASE_IMAGE, ImageDefaults
from toolkit.errors import ComputeTargetException
from toolkit.images import engine
from toolkit.paths import WorkspacePaths
from toolkit.targets.base import ComputeTarget
from toolkit.targets.kind import Kind
from toolkit.targets.kubernetes import settings as kubernetes
from toolkit.targets.ray import settings as ray
from toolkit.targets.settings import COMMON, CONTAINER, POLICY
from toolkit.targets.slurm import settings as slurm
from toolkit.targets.ssh import settings as ssh

ENTRY_POINTS = "toolkit.compute_targets"
_BUILT_IN = {
    "docker": Kind(
        "toolkit.targets.docker:DockerTarget",
        {**COMMON, **POLICY, **CONTAINER},
        summary="containers of an engine on this machine",
        example={"slots": 1},
        runs_images=True,
        examine="toolkit.targets.docker:examine",
    ),
    "kubernetes": kubernetes.KIND,
    "local": Kind(
        "toolkit.targets.local:LocalTarget",
        {**COMMON, **POLICY},
        summary="processes of this machine",
        example={"slots": 1},
        examine="toolkit.targets.local:examine",
    ),
    "ray": ray.KIND,
    "slurm": slurm.KIND,
    "ssh": ssh.KIND,
}


def kinds() -> dict[str, Kind]:
    """Every kind of compute target by name: ours, and those that installed packages offer."""
    from importlib.metadata import entry_points

    return {**{one.name: one.load() for one in entry_points(group=ENTRY_POINTS)}, **_BUILT_IN}


def names() -> list[str]:
    """What kinds there are; those of other packages are not loaded for it."""
    from importlib.metadata import entry_points

    return sorted({*_BUILT_IN, *entry_points(group=ENTRY_POINTS).names})


def kind(name: str) -> Kind | None:
    """The kind of this name, or None."""
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    from importlib.metadata import entry_points  # a third of what a submit imports, and few need it

    return next((one.load() for one in entry_points(group=ENTRY_POINTS, name=name)), None)


def check(name: str, configuration: WorkspaceConfiguration, path: Path) -> Kind:
    """The kind of a target. Refuses one that does not exist or has settings that cannot work, without loading it.

    Raises:
        ComputeTargetException: which targets exist and how to add one, or what is wrong with its settings.
    """
    targets = configuration.compute_targets
    if name not in targets:
        raise ComputeTargetException(
            f"ComputeTargetNotFound: Compute Target with name {name} not found in provided workspace. It has: "
            f"{', '.join(sorted(targets))}. Use one of them, or add it to {path} by\n"
            f"  toolkit compute add {name} --kind {'|'.join(names())}"
        )
    settings = targets[name]
    kind_name = settings["type"]
    found = kind(kind_name) if isinstance(kind_name, str) else None
    if found is None:
        raise ComputeTargetException(
            f"compute target '{name}' has the type '{kind_name}', which is not offered; "
            f"the types are: {', '.join(sorted(kinds()))}. Mend it in {path}"
        )
    unknown = sorted(map(str, settings.keys() - found.settings.keys()))
    if unknown:
        raise ComputeTargetException(
            f"compute target '{name}' has the unknown setting {', '.join(unknown)}; known are "
            f"{', '.join(sorted(found.settings))}. Mend it in {path}{_near(unknown, found)}"
        )
    missing = [key for key in found.required if key not in settings]
    if missing:
        raise ComputeTargetException(
            f"compute target '{name}' has no {missing[0]}: {found.settings[missing[0]].says}. Mend it in {path}"
        )
    for key, value in settings.items():
        if not found.settings[key].accepts(value):
            raise ComputeTargetException(
                f"compute target '{name}' has {key} {value!r}; it must be {found.settings[key].says}. Mend it in {path}"
            )
    shared = settings.get("shares")
    if shared is not None and (shared not in targets or "shares" in targets[shared]):
        raise ComputeTargetException(
            f"compute target '{name}' shares the slots of '{shared}', which is not a target with slots of its own; "
            f"mend it in {path}"
        )
    if shared is not None:
        check(str(shared), configuration, path)
    return found


def _near(unknown: list[str], found: Kind) -> str:
    """The known settings that are written nearly so."""
    from difflib import get_close_matches

    near = [one for name in unknown for one in get_close_matches(name.lower(), found.settings, 1)]
    return f" (did you mean {', '.join(near)}?)" if near else ""


def images_of(name: str, configuration: WorkspaceConfiguration, path: Path) -> tuple[ImageDefaults | None, str]:
    """What a target says of images, and the address of its container engine; None and "" for one that runs none.

    Raises:
        ComputeTargetException: there is no such target, or its settings cannot work.
    """
    if not check(name, configuration, path).runs_images:
        return None, ""
    settings = configuration.compute_targets[name]
    defaults = ImageDefaults(str(settings.get("base_image") or DEFAULT_BASE_IMAGE), configuration.image_registry)
    return defaults, engine.address(str(settings.get("engine") or ""))


def create(name: str, configuration: WorkspaceConfiguration, paths: WorkspacePaths) -> ComputeTarget:
    """The compute target `name` of a workspace, ready to use."""
    found = check(name, configuration, paths.configuration)
    target: ComputeTarget = _load(found.home)(name, configuration.compute_targets[name], configuration, paths)
    return target


def check_run(name: str, configuration: WorkspaceConfiguration, definition: dict[str, Any]) -> list[str]:
    """What a person should know before the run of this definition goes to the target `name`, a line each.

    Raises:
        ComputeTargetException: it cannot run there.
    """
    settings = configuration.compute_targets[name]
    found = kind(str(settings["type"]))
    if found is None or not found.check:
        return []
    said: list[str] = _load(found.check)(name, settings, definition)
    return said


def examine(name: str, settings: dict[str, Any]) -> str:
    """What answers for the target `name`, in a few words; "" where there is nobody to ask.

    Raises:
        ToolkitError: nothing does, and what to do.
    """
    found = kind(str(settings["type"]))
    return str(_load(found.examine)(name, settings)) if found is not None and found.examine else ""


def _load(home: str) -> Any:
    module, _, attribute = home.partition(":")
    return getattr(importlib.import_module(module), attribute)
