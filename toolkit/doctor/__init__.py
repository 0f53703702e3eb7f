"""What this machine offers to the toolkit, each with the one line that would add it. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from toolkit import imports
from toolkit.doctor import engines, machine, network, targets
from toolkit.doctor.finding import Finding

if TYPE_CHECKING:
    from toolkit.workspace import Workspace

__all__ = ["Finding", "examine"]


def examine(workspace: Workspace | None = None) -> list[Finding]:
    """Look at the machine, what it reaches, and the targets of a workspace: all at once, some seconds at most."""
    looks: list[Callable[[], list[Finding]]] = [machine.examine, *engines.LOOKS, *network.LOOKS]
    if workspace is not None:
        looks += targets.looks(workspace)
    imports.settle()
    with ThreadPoolExecutor(max_workers=len(looks)) as pool:
        return [finding for found in pool.map(lambda look: look(), looks) for finding in found]
