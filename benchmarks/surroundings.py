"""The environment variables of measured processes: the same for ours and for peers, as on a user's machine."""

from __future__ import annotations

import os
from pathlib import Path

# What this shell may have set that a user's has not, or that would tie a process to a run or a virtual environment.
_LEFT_OUT = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "PYTHONUNBUFFERED", "VIRTUAL_ENV", "TOOLKIT_",
             "AZUREML_", "MLFLOW_", "WANDB_", "TRACKIO_", "OMP_NUM_THREADS")  # fmt: skip
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "HF_HUB_OFFLINE": "1",
    "NO_COLOR": "1",
}


def variables(python: str | Path, **more: str) -> dict[str, str]:
    """The variables for a process of the interpreter `python`, as if its environment were activated."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    folder = str(Path(python).parent)
    path = os.pathsep.join([folder, kept.get("PATH", os.defpath)])  # no shim of a version manager comes first
    return {**kept, **_QUIET, "PATH": path, **more}
