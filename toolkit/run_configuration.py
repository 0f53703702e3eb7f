"""`RunConfiguration`: all of a run that is not its sources; and the parts of it that only Azure had a use for."""

from __future__ import annotations

import os
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from toolkit.distributed import MpiConfiguration, PyTorchConfiguration, TensorflowConfiguration
from toolkit.docker_configuration import DockerConfiguration
from toolkit.environment import Environment
from toolkit.errors import UserErrorException

if TYPE_CHECKING:
    from toolkit.conda_dependencies import CondaDependencies
    from toolkit.configuration import WorkspaceConfiguration


class HistoryConfiguration:
    """What is kept of a run. Here it is always all of it: outputs, logs, metrics, the sources."""

    def __init__(self) -> None:
        self.output_collection = True
        self.snapshot_project = True
        self.directories_to_watch = ["logs"]


class SparkConfiguration:
    """Settings of Spark: kept as they are given, and used by nothing here."""

    def __init__(self) -> None:
        self.configuration: dict[str, Any] = {}
        self.packages: list[Any] = []


class HdiConfiguration:
    """Settings of HDInsight: kept as they are given, and used by nothing here."""

    def __init__(self) -> None:
        self.yarn_deploy_mode = "cluster"


class AmlComputeConfiguration:
    """The pool that Azure made for one run. Here such a run goes to this machine's own, with a GPU for a GPU size.

    Attributes:
        vm_size: as in "STANDARD_D2_V2".
        vm_priority, retain_cluster, name, cluster_max_node_count: kept, and used by nothing here.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self.vm_size: str | None = None
        self.vm_priority: str | None = None
        self.retain_cluster = False
        self.cluster_max_node_count = 1


class RunConfiguration:
    """What is not the sources: target, environment, limits. `ScriptRunConfig.run_config` is one.

    Attributes:
        target: the name of the compute target.
        environment: the environment of the run.
        environment_variables: variables set for the script.
        max_run_duration_seconds: the longest the script may run, in seconds; None for the default of 30 days.
        docker: whether a local run is a container, and what that gets.
        framework, communicator: "IntelMpi" or "OpenMpi" starts `mpi`'s processes, "Nccl" or "Gloo" `pytorch`'s,
            "ParameterServer" `tensorflow`'s.
        node_count: of a distributed run; all its processes are on the machine of the target.
        mpi, pytorch, tensorflow: the counts of processes.
        data, output_data, data_references: inputs and outputs by name.
        priority: of the runs that wait for the same target, the one with the highest goes first; None is 0.
        max_retries: how often a run is started again that its machine failed, not its script; None is what the target
            says, else 0. `TOOLKIT_CHECKPOINTS` names a folder that the script finds again then.
        retry_on: for what; of "preempted", "node_lost", "timed_out", "out_of_memory". None is all but the last.
        history, spark, hdi, amlcompute, …: as Azure ML SDK v1 had them.
    """

    def __init__(
        self,
        script: str | None = None,
        arguments: list[Any] | None = None,
        framework: str | None = None,
        communicator: str | None = None,
        conda_dependencies: CondaDependencies | None = None,
        _history_enabled: bool | None = None,
        _path: str | None = None,
        _name: str | None = None,
        command: list[str] | str | None = None,
    ) -> None:
        self.script = script
        self.arguments = list(arguments or [])
        self.command = command
        self.framework = framework or "Python"
        self.communicator = communicator or "None"
        self.environment = Environment("default-environment")
        if conda_dependencies is not None:
            self.environment.python.conda_dependencies = conda_dependencies
        self.max_run_duration_seconds: float | None = None
        self.priority: int | None = None
        self.max_retries: int | None = None
        self.retry_on: list[str] | None = None
        self.node_count = 1
        self.docker = DockerConfiguration()
        self.mpi = MpiConfiguration()
        self.pytorch = PyTorchConfiguration()
        self.tensorflow = TensorflowConfiguration()
        self.data: dict[str, Any] = {}
        self.output_data: dict[str, Any] = {}
        self.data_references: dict[str, Any] = {}
        self._environment_variables: dict[str, str] = {}
        self._target = "local"
        self._keep_for_scripts()

    def _keep_for_scripts(self) -> None:
        """What scripts set and Azure alone had a use for."""
        self.history = HistoryConfiguration()
        self.spark = SparkConfiguration()
        self.hdi = HdiConfiguration()
        self.amlcompute = AmlComputeConfiguration()
        self.kubernetescompute = SimpleNamespace(instance_type=None)
        self.paralleltask = SimpleNamespace(max_retries_per_worker=0, worker_count_per_node=1, terminal_exit_codes=None)
        self.services: dict[str, Any] = {}
        self.datacaches: list[Any] = []
        self.source_directory_data_store: str | None = None
        self.auto_cluster_compute_specification: object = None
        self.credential_passthrough = False

    @property
    def target(self) -> str:
        return self._target

    @target.setter
    def target(self, target: object) -> None:
        self._target = target_name(target)

    @property
    def environment_variables(self) -> dict[str, str]:
        return self._environment_variables

    @environment_variables.setter
    def environment_variables(self, variables: dict[str, Any] | None) -> None:
        self._environment_variables = dict(variables or {})

    @property
    def auto_prepare_environment(self) -> bool:
        """True: an environment is always prepared."""
        return True

    @auto_prepare_environment.setter
    def auto_prepare_environment(self, _: object) -> None:
        warnings.warn("auto_prepare_environment is always on: an environment is prepared when needed", stacklevel=2)

    # -- files --------------------------------------------------------------------------------------------------------

    def save(
        self,
        path: str | os.PathLike[str] | None = None,
        name: str | None = None,
        separate_environment_yaml: bool = False,
    ) -> None:
        """Write `<path>/.azureml/<name>.runconfig`, for `load`.

        Args:
            path: the folder of a project, default the current one; or the file itself, where it ends in .runconfig.
            name: of the configuration; default its target.
            separate_environment_yaml: the environment goes to `environment.yml` beside it.

        Raises:
            UserErrorException: data is set, which such a file cannot keep.
            StorageError: it cannot be written.
        """
        from toolkit import run_configuration_file

        run_configuration_file.save(self, path, name, separate_environment_yaml)

    @staticmethod
    def load(path: str | os.PathLike[str], name: str | None = None) -> RunConfiguration:
        """Read a `.runconfig`: the file itself, or `name` of the project in the folder `path`.

        Raises:
            UserErrorException: there is none, or it is broken.
        """
        from toolkit import run_configuration_file

        return run_configuration_file.load(path, name)

    @staticmethod
    def delete(path: str | os.PathLike[str], name: str) -> None:
        """Delete the configuration `name` of the project in the folder `path`.

        Raises:
            UserErrorException: there is none.
        """
        from toolkit import run_configuration_file

        run_configuration_file.find(path, name).unlink()

    def __repr__(self) -> str:
        return f"RunConfiguration(target={self.target!r}, environment={self.environment.name!r})"


def target_name(target: object) -> str:
    """The name of a compute target that is given by name or as an object."""
    name = target if isinstance(target, str) else getattr(target, "name", None)
    if not isinstance(name, str) or not name:
        raise UserErrorException(f"compute_target is {target!r}: give the name of a compute target, or a ComputeTarget")
    return name


def effective_target(run_config: RunConfiguration, configuration: WorkspaceConfiguration) -> str:
    """The target that a run goes to. As in Azure ML SDK v1, a local run that asks for Docker is a container.

    A run on "amlcompute", for which Azure made a pool of its own, goes to the machine: to its GPUs for a GPU size.
    """
    targets, target = configuration.compute_targets, run_config.target
    if target == "amlcompute" and target not in targets:
        target = target_of_size(run_config.amlcompute.vm_size or "", configuration)
    if target == "local" and (run_config.docker.use_docker or run_config.environment.docker.enabled):
        return next((name for name, one in targets.items() if one["type"] == "docker"), "docker")
    return target


def target_of_size(vm_size: str, configuration: WorkspaceConfiguration) -> str:
    """The target of this machine for runs that name a size and no target: one with GPUs for a GPU size."""
    from toolkit.compute_provisioning import ProvisioningConfiguration, settings_of

    wanted = settings_of("local", ProvisioningConfiguration(vm_size, max_nodes=1)).get("gpus", 0) if vm_size else 0
    with_gpus = [name for name, one in configuration.compute_targets.items() if one.get("gpus") and wanted]
    return with_gpus[0] if with_gpus else "local"
