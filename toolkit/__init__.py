"""Azure ML SDK v1 control scripts on your own machines, with MLflow as the record.

from toolkit import Environment, Experiment, ScriptRunConfig, Workspace

ws = Workspace.from_config()
config = ScriptRunConfig(source_directory="src", script="train.py", compute_target="local")
config.run_config.environment = Environment.from_conda_specification("pytorch-env", "environments/pytorch-env.yml")
run = Experiment(ws, "day1-experiment-train").submit(config)
print(run.get_portal_url())
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolkit.names import HOMES, load
from toolkit.version import __version__ as __version__

if TYPE_CHECKING:
    from toolkit.compute import ComputeTarget
    from toolkit.conda_dependencies import CondaDependencies
    from toolkit.container_registry import ContainerRegistry
    from toolkit.docker_section import DockerSection
    from toolkit.environment import Environment
    from toolkit.errors import (
        ActivityFailedException,
        ComputeTargetException,
        ContainerEngineError,
        EnvironmentBuildError,
        EnvironmentSpecificationError,
        ExperimentExecutionException,
        RunEnvironmentException,
        SnapshotException,
        StorageError,
        ToolkitError,
        TrackingError,
        UserErrorException,
    )
    from toolkit.experiment import Experiment
    from toolkit.python_section import PythonSection
    from toolkit.run import Run
    from toolkit.script_run_config import RunConfiguration, ScriptRunConfig
    from toolkit.workspace import Workspace

__all__ = [
    "ActivityFailedException",
    "ComputeTarget",
    "ComputeTargetException",
    "CondaDependencies",
    "ContainerEngineError",
    "ContainerRegistry",
    "DockerSection",
    "Environment",
    "EnvironmentBuildError",
    "EnvironmentSpecificationError",
    "Experiment",
    "ExperimentExecutionException",
    "PythonSection",
    "Run",
    "RunConfiguration",
    "RunEnvironmentException",
    "ScriptRunConfig",
    "SnapshotException",
    "StorageError",
    "ToolkitError",
    "TrackingError",
    "UserErrorException",
    "Workspace",
]


def __getattr__(name: str) -> object:
    value = load(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES})
