"""The public names: this list, `toolkit.__all__` and where each is loaded from are one."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

import toolkit
from toolkit.inscript.names import home_in_a_run
from toolkit.names import HOMES

NAMES = [
    "ActivityFailedException",
    "AmlCompute",
    "AuthenticationException",
    "BanditPolicy",
    "BayesianParameterSampling",
    "ComputeTarget",
    "ComputeTargetException",
    "CondaDependencies",
    "ContainerEngineError",
    "ContainerRegistry",
    "DataPath",
    "DataReference",
    "DataType",
    "Dataset",
    "DatasetConsumptionConfig",
    "Datastore",
    "DockerConfiguration",
    "DockerSection",
    "Environment",
    "EnvironmentBuildError",
    "EnvironmentSpecificationError",
    "Experiment",
    "ExperimentExecutionException",
    "FileDataset",
    "GridParameterSampling",
    "HyperDriveConfig",
    "HyperDriveRun",
    "Keyvault",
    "MedianStoppingPolicy",
    "Model",
    "ModelNotFoundException",
    "ModelPathNotFoundException",
    "MpiConfiguration",
    "NoTerminationPolicy",
    "NotOffered",
    "OutputFileDatasetConfig",
    "PrimaryMetricGoal",
    "ProjectSystemException",
    "PyTorchConfiguration",
    "PythonSection",
    "RandomParameterSampling",
    "Run",
    "RunConfiguration",
    "RunDetails",
    "RunEnvironmentException",
    "ScriptRunConfig",
    "SnapshotException",
    "StorageError",
    "TabularDataset",
    "TensorflowConfiguration",
    "ToolkitError",
    "TrackingError",
    "TruncationSelectionPolicy",
    "UserErrorException",
    "WebserviceException",
    "Workspace",
    "WorkspaceException",
]


def test_the_names_are_these() -> None:
    assert toolkit.__all__ == NAMES == sorted(HOMES)
    assert {*NAMES} <= {*dir(toolkit)}


@pytest.mark.parametrize("name", NAMES)
def test_each_is_what_its_module_defines(name: str) -> None:
    found = getattr(toolkit, name)
    assert found is getattr(importlib.import_module(HOMES[name]), name)
    assert found.__doc__


def test_where_a_script_finds_them() -> None:
    """In a run, a name is from a part of the toolkit that is mounted there, or it is for control scripts alone."""
    for name in NAMES:
        home = home_in_a_run(name)
        if home is not None:
            module, _, attribute = home.partition(":")
            assert module.startswith(("toolkit.inscript.", "toolkit.data.")), name
            assert getattr(importlib.import_module(module), attribute)
    assert home_in_a_run("ScriptRunConfig") is None and home_in_a_run("Run") == "toolkit.inscript.run:Run"


def test_every_error_is_a_toolkit_error() -> None:
    for name in NAMES:
        if name.endswith(("Exception", "Error")):
            assert issubclass(getattr(toolkit, name), toolkit.ToolkitError), name


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'toolkit' has no attribute 'Modell'"):
        _ = toolkit.Modell


@pytest.mark.parametrize(
    "code", ["import toolkit", "import toolkit.inscript.run", "from toolkit.inscript.run import Run"]
)
def test_importing_pulls_in_nothing_heavy(code: str) -> None:
    listing = f"import sys, json; {code}; print(json.dumps([*sys.modules]))"
    answer = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(answer.stdout)}
    heavy = {"mlflow", "torch", "yaml", "rattler", "rich", "numpy", "psutil", "platformdirs", "packaging", "asyncio"}
    assert not loaded & heavy


def test_what_a_control_script_uses_pulls_in_nothing_heavy() -> None:
    listing = "import sys, json; from toolkit import *; print(json.dumps([*sys.modules]))"
    answer = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(answer.stdout)}
    assert not loaded & {"mlflow", "torch", "rattler", "docker", "ray"}
