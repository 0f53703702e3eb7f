"""What can be told of a run for a Ray cluster before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolkit.errors import ComputeTargetException
from toolkit.targets.elsewhere import check_data
from toolkit.targets.ray.client import RayClient

_NO_NODES = (
    "a run is one job of Ray, on one node. Leave node_count at 1, use Slurm or Kubernetes for more nodes, or "
    "start Ray's own tasks in the script, which finds the cluster by ray.init()"
)


def check(name: str, settings: dict[str, Any], definition: dict[str, Any]) -> list[str]:
    """Notices for the run of this definition, a line each.

    Raises:
        ComputeTargetException: it cannot run there.
    """
    nodes = int((definition.get("distributed") or {}).get("nodes") or 1)
    if nodes > 1:
        raise ComputeTargetException(f"compute target '{name}' cannot start a run on {nodes} nodes: {_NO_NODES}")
    token = settings.get("token_file")
    if token and not Path(str(token)).expanduser().is_file():
        raise ComputeTargetException(
            f"compute target '{name}' has token_file '{token}', which is not there: `ray get-auth-token --generate` on "
            "the cluster's head makes one; copy it to this file"
        )
    if not settings.get("shared"):
        check_data(name, definition)
    return []


def examine(name: str, settings: dict[str, Any]) -> str:
    """For `toolkit doctor`: the version of the cluster.

    Raises:
        EngineUnreachable, RayError: nothing answers at the address, or it refuses.
    """
    return f"Ray {RayClient(settings['address'], str(settings.get('token_file') or '')).version()}"
