"""Compute targets by name: settings from the workspace configuration, classes loaded when they are used."""

from __future__ import annotations

import importlib
from pathlib import Path

from toolkit.configuration import WorkspaceConfiguration
from toolkit.errors import ComputeTargetException
from toolkit.paths import WorkspacePaths
from toolkit.targets.base import ComputeTarget

KINDS = {"local": "toolkit.targets.local:LocalTarget"}
SETTINGS = {"local": {"type", "slots", "shares"}}


def check(name: str, configuration: WorkspaceConfiguration, path: Path) -> None:
    """Refuse a target that does not exist or has settings that cannot work, without loading its class.

    Raises:
        ComputeTargetException: which targets exist and how to add one.
    """
    targets = configuration.compute_targets
    if name not in targets:
        raise ComputeTargetException(
            f"ComputeTargetNotFound: Compute Target with name {name} not found in provided workspace. "
            f"It has: {', '.join(sorted(targets))}. To add one, put a line below compute_targets in {path}, as in\n"
            f"  {name}: {{type: local, slots: 1}}"
        )
    kind = targets[name]["type"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise ComputeTargetException(
            f"compute target '{name}' has the type '{kind}', which is not offered; "
            f"the types are: {', '.join(sorted(KINDS))}. Mend it in {path}"
        )
    unknown = sorted(map(str, targets[name].keys() - SETTINGS[kind]))
    if unknown:
        raise ComputeTargetException(
            f"compute target '{name}' has the unknown setting {', '.join(unknown)}; known are "
            f"{', '.join(sorted(SETTINGS[kind]))}. Mend it in {path}"
        )
    shared = targets[name].get("shares")
    if shared is not None and (shared not in targets or "shares" in targets[shared]):
        raise ComputeTargetException(
            f"compute target '{name}' shares the slots of '{shared}', which is not a target with slots of its own; "
            f"mend it in {path}"
        )


def create(name: str, configuration: WorkspaceConfiguration, paths: WorkspacePaths) -> ComputeTarget:
    """The compute target `name` of a workspace, ready to use."""
    check(name, configuration, paths.configuration)
    settings = configuration.compute_targets[name]
    module, _, attribute = KINDS[settings["type"]].partition(":")
    factory = getattr(importlib.import_module(module), attribute)
    target: ComputeTarget = factory(name, settings, configuration, paths)
    return target
