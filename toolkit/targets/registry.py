"""Compute targets by name: settings from the workspace configuration, classes loaded when they are used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.configuration import WorkspaceConfiguration
from toolkit.environments.request import DEFAULT_BASE_IMAGE, ImageDefaults
from toolkit.errors import ComputeTargetException
from toolkit.images import engine
from toolkit.paths import WorkspacePaths
from toolkit.targets.base import ComputeTarget
from toolkit.targets.settings import COMMON, CONTAINER, Setting


@dataclass(frozen=True)
class Kind:
    """A kind of compute target.

    Args:
        home: module and class, as in "toolkit.targets.local:LocalTarget".
        settings: what the configuration may say of one.
        runs_images: whether its runs are containers, whose environments are images.
    """

    home: str
    settings: Mapping[str, Setting]
    runs_images: bool = False


KINDS = {
    "docker": Kind("toolkit.targets.docker:DockerTarget", {**COMMON, **CONTAINER}, runs_images=True),
    "local": Kind("toolkit.targets.local:LocalTarget", COMMON),
}


def check(name: str, configuration: WorkspaceConfiguration, path: Path) -> Kind:
    """The kind of a target. Refuses one that does not exist or has settings that cannot work, without loading it.

    Raises:
        ComputeTargetException: which targets exist and how to add one, or what is wrong with its settings.
    """
    targets = configuration.compute_targets
    if name not in targets:
        kind = name if name in KINDS else "local"
        raise ComputeTargetException(
            f"ComputeTargetNotFound: Compute Target with name {name} not found in provided workspace. "
            f"It has: {', '.join(sorted(targets))}. To add one, put a line below compute_targets in {path}, as in\n"
            f"  {name}: {{type: {kind}, {'gpus' if name == 'gpu' else 'slots'}: 1}}"
        )
    settings = targets[name]
    kind_name = settings["type"]
    if not isinstance(kind_name, str) or kind_name not in KINDS:
        raise ComputeTargetException(
            f"compute target '{name}' has the type '{kind_name}', which is not offered; "
            f"the types are: {', '.join(sorted(KINDS))}. Mend it in {path}"
        )
    found = KINDS[kind_name]
    unknown = sorted(map(str, settings.keys() - found.settings.keys()))
    if unknown:
        raise ComputeTargetException(
            f"compute target '{name}' has the unknown setting {', '.join(unknown)}; known are "
            f"{', '.join(sorted(found.settings))}. Mend it in {path}"
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
    kind = check(name, configuration, paths.configuration)
    settings: dict[str, Any] = configuration.compute_targets[name]
    module, _, attribute = kind.home.partition(":")
    factory = getattr(importlib.import_module(module), attribute)
    target: ComputeTarget = factory(name, settings, configuration, paths)
    return target
