"""`ComputeTarget`: a compute target of a workspace, as control scripts see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolkit.targets import registry

if TYPE_CHECKING:
    from toolkit.workspace import Workspace


class ComputeTarget:
    """A compute target by name.

    Raises:
        ComputeTargetException: the workspace has no such target; the message says which it has and how to add one.
    """

    def __init__(self, workspace: Workspace, name: str) -> None:
        settings = workspace.configuration
        registry.check(name, settings, workspace.paths.configuration)
        self.workspace = workspace
        self.name = name
        self.type = str(settings.compute_targets[name]["type"])

    @staticmethod
    def list(workspace: Workspace) -> list[ComputeTarget]:
        """All compute targets of the workspace."""
        return [*workspace.compute_targets.values()]

    def __repr__(self) -> str:
        return f"ComputeTarget(workspace={self.workspace.name!r}, name={self.name!r}, type={self.type!r})"
