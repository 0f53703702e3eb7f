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
    from toolkit.compute import AmlCompute, ComputeTarget
    from toolkit.conda_dependencies import CondaDependencies
    from toolkit.container_registry import ContainerRegistry
    from toolkit.data.consumption import DatasetConsumptionConfig
    from toolkit.data.data_reference import DataPath, DataReference
    from toolkit.data.data_type import DataType
    from toolkit.data.dataset import Dataset
    from toolkit.data.datastore import Datastore
    from toolkit.data.file_dataset import FileDataset
    from toolkit.data.output import OutputFileDatasetConfig
    from toolkit.data.tabular_dataset import TabularDataset
    from toolkit.distributed import MpiConfiguration, PyTorchConfiguration, TensorflowConfiguration
    from toolkit.docker_configuration import DockerConfiguration
    from toolkit.docker_section import DockerSection
    from toolkit.environment import Environment
    from toolkit.errors import (
        ContainerEngineError,
        EnvironmentBuildError,
        EnvironmentSpecificationError,
        StorageError,
        TrackingError,
    )
    from toolkit.experiment import Experiment
    from toolkit.inscript.errors import (
        ActivityFailedException,
        AuthenticationException,
        ComputeTargetException,
        ExperimentExecutionException,
        ModelNotFoundException,
        ModelPathNotFoundException,
        NotOffered,
        ProjectSystemException,
        RunEnvironmentException,
        SnapshotException,
        ToolkitError,
        UserErrorException,
        WebserviceException,
        WorkspaceException,
    )
    from toolkit.inscript.keyvault import Keyvault
    from toolkit.inscript.model import Model
    from toolkit.python_section import PythonSection
    from toolkit.run import Run
    from toolkit.run_configuration import RunConfiguration
    from toolkit.run_details import RunDetails
    from toolkit.script_run_config import ScriptRunConfig
    from toolkit.sweeps import (
        BanditPolicy,
        BayesianParameterSampling,
        GridParameterSampling,
        HyperDriveConfig,
        HyperDriveRun,
        MedianStoppingPolicy,
        NoTerminationPolicy,
        PrimaryMetricGoal,
        RandomParameterSampling,
        TruncationSelectionPolicy,
    )
    from toolkit.workspace import Workspace

__all__ = [
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


def __getattr__(name: str) -> object:
    value = load(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES})
