"""The public names of the toolkit and the modules that hold them: loaded when they are first used."""

from __future__ import annotations

import importlib

HOMES = {
    "ActivityFailedException": "toolkit.errors",
    "ComputeTarget": "toolkit.compute",
    "ComputeTargetException": "toolkit.errors",
    "CondaDependencies": "toolkit.conda_dependencies",
    "ContainerEngineError": "toolkit.errors",
    "ContainerRegistry": "toolkit.container_registry",
    "DockerSection": "toolkit.docker_section",
    "Environment": "toolkit.environment",
    "EnvironmentBuildError": "toolkit.errors",
    "EnvironmentSpecificationError": "toolkit.errors",
    "Experiment": "toolkit.experiment",
    "ExperimentExecutionException": "toolkit.errors",
    "PythonSection": "toolkit.python_section",
    "Run": "toolkit.run",
    "RunConfiguration": "toolkit.script_run_config",
    "RunEnvironmentException": "toolkit.errors",
    "ScriptRunConfig": "toolkit.script_run_config",
    "SnapshotException": "toolkit.errors",
    "StorageError": "toolkit.errors",
    "ToolkitError": "toolkit.errors",
    "TrackingError": "toolkit.errors",
    "UserErrorException": "toolkit.errors",
    "Workspace": "toolkit.workspace",
}


def load(name: str) -> object:
    """The public object `name`, imported from its module.

    Raises:
        AttributeError: the toolkit has no such name.
    """
    try:
        module = HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'toolkit' has no attribute {name!r}") from None
    return getattr(importlib.import_module(module), name)
