"""The public names of the toolkit and the modules that hold them, in a control script and in a run."""

from typing import Dict, Optional

HOMES = {
    "ActivityFailedException": "toolkit.inscript.errors",
    "AmlCompute": "toolkit.compute",
    "AuthenticationException": "toolkit.inscript.errors",
    "BanditPolicy": "toolkit.sweeps",
    "BayesianParameterSampling": "toolkit.sweeps",
    "ComputeTarget": "toolkit.compute",
    "ComputeTargetException": "toolkit.inscript.errors",
    "CondaDependencies": "toolkit.conda_dependencies",
    "ContainerEngineError": "toolkit.errors",
    "ContainerRegistry": "toolkit.container_registry",
    "DataPath": "toolkit.data.data_reference",
    "DataReference": "toolkit.data.data_reference",
    "DataType": "toolkit.data.data_type",
    "Dataset": "toolkit.data.dataset",
    "DatasetConsumptionConfig": "toolkit.data.consumption",
    "Datastore": "toolkit.data.datastore",
    "DockerConfiguration": "toolkit.docker_configuration",
    "DockerSection": "toolkit.docker_section",
    "Environment": "toolkit.environment",
    "EnvironmentBuildError": "toolkit.errors",
    "EnvironmentSpecificationError": "toolkit.errors",
    "Experiment": "toolkit.experiment",
    "ExperimentExecutionException": "toolkit.inscript.errors",
    "FileDataset": "toolkit.data.file_dataset",
    "GridParameterSampling": "toolkit.sweeps",
    "HyperDriveConfig": "toolkit.sweeps",
    "HyperDriveRun": "toolkit.sweeps",
    "Keyvault": "toolkit.inscript.keyvault",
    "MedianStoppingPolicy": "toolkit.sweeps",
    "Model": "toolkit.inscript.model",
    "ModelNotFoundException": "toolkit.inscript.errors",
    "ModelPathNotFoundException": "toolkit.inscript.errors",
    "MpiConfiguration": "toolkit.distributed",
    "NoTerminationPolicy": "toolkit.sweeps",
    "NotOffered": "toolkit.inscript.errors",
    "OutputFileDatasetConfig": "toolkit.data.output",
    "PrimaryMetricGoal": "toolkit.sweeps",
    "ProjectSystemException": "toolkit.inscript.errors",
    "PyTorchConfiguration": "toolkit.distributed",
    "PythonSection": "toolkit.python_section",
    "RandomParameterSampling": "toolkit.sweeps",
    "Run": "toolkit.run",
    "RunConfiguration": "toolkit.run_configuration",
    "RunDetails": "toolkit.run_details",
    "RunEnvironmentException": "toolkit.inscript.errors",
    "ScriptRunConfig": "toolkit.script_run_config",
    "SnapshotException": "toolkit.inscript.errors",
    "StorageError": "toolkit.errors",
    "TabularDataset": "toolkit.data.tabular_dataset",
    "TensorflowConfiguration": "toolkit.distributed",
    "ToolkitError": "toolkit.inscript.errors",
    "TrackingError": "toolkit.errors",
    "TruncationSelectionPolicy": "toolkit.sweeps",
    "UserErrorException": "toolkit.inscript.errors",
    "WebserviceException": "toolkit.inscript.errors",
    "Workspace": "toolkit.workspace",
    "WorkspaceException": "toolkit.inscript.errors",
}

_IN_A_RUN = {"Run": "toolkit.inscript.run:Run", "Workspace": "toolkit.inscript.workspace:ScriptWorkspace"}
_MOUNTED = ("toolkit.inscript.", "toolkit.data.")


def home_in_a_run(name: str) -> Optional[str]:
    """Where a script finds a public name, as "module:attribute"; None for what only control scripts need."""
    if name in _IN_A_RUN:
        return _IN_A_RUN[name]
    return "%s:%s" % (HOMES[name], name) if HOMES[name].startswith(_MOUNTED) else None


def homes_in_a_run() -> Dict[str, str]:
    """Every public name as `lazy.offer` takes it; what only control scripts need is there with the whole toolkit."""
    return {name: home_in_a_run(name) or "%s:%s" % (HOMES[name], name) for name in HOMES}
