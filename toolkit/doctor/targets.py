"""The compute targets of a workspace: whether what they name is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from toolkit.doctor.finding import Finding
from toolkit.errors import ToolkitError
from toolkit.targets import registry

if TYPE_CHECKING:
    from toolkit.workspace import Workspace


def looks(workspace: Workspace) -> list[Callable[[], list[Finding]]]:
    """One look for each target."""
    return [partial(_look, workspace, name) for name in workspace.configuration.compute_targets]


def _look(workspace: Workspace, name: str) -> list[Finding]:
    what = f"target {name}"
    settings = workspace.configuration.compute_targets[name]
    try:
        registry.check(name, workspace.configuration, workspace.paths.configuration)
        answer = registry.examine(name, settings)
    except ToolkitError as error:
        return [Finding(what, False, remedy=str(error))]
    return [Finding(what, True, f"{settings['type']}{f': {answer}' if answer else ''}")]
