"""`.runconfig` files: a run configuration as YAML with camelCase keys, as Azure ML SDK v1 wrote and read them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from toolkit.conda_dependencies import CondaDependencies
from toolkit.distributed import MpiConfiguration, PyTorchConfiguration, TensorflowConfiguration
from toolkit.docker_configuration import DockerConfiguration
from toolkit.environment import Environment
from toolkit.errors import UserErrorException, storage_errors
from toolkit.inscript.files import write_text
from toolkit.run_configuration import RunConfiguration

SUFFIX = ".runconfig"
FOLDERS = (".azureml", "aml_config", "")


def find(path: str | os.PathLike[str], name: str | None = None) -> Path:
    """The file of a run configuration.

    Raises:
        UserErrorException: there is none; the message says where it was looked for.
    """
    start = Path(path).expanduser()
    if start.is_file():
        return start
    names = [f"{name}{SUFFIX}", name] if name else []
    places = [start / folder / one for folder in FOLDERS for one in names]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        have = sorted(one.stem for folder in FOLDERS for one in (start / folder).glob(f"*{SUFFIX}"))
        raise UserErrorException(
            f"there is no run configuration '{name or ''}' in {start.absolute()}, nor in .azureml or aml_config there; "
            f"it has: {', '.join(have) or 'none'}"
        )
    return found


def load(path: str | os.PathLike[str], name: str | None) -> RunConfiguration:
    """See `RunConfiguration.load`."""
    import yaml

    file = find(path, name)
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserErrorException(f"{file} is not valid YAML: {error}. Mend it there") from error
    if not isinstance(document, dict):
        raise UserErrorException(f"{file} must hold a mapping, as in target: local")
    given = {key: value for key, value in document.items() if value is not None}
    run_config = RunConfiguration(
        given.get("script"), given.get("arguments"), given.get("framework"), given.get("communicator"),
        command=given.get("command") or None,
    )  # fmt: skip
    run_config.target = given.get("target") or "local"
    run_config.node_count = int(given.get("nodeCount", 1))
    run_config.max_run_duration_seconds = given.get("maxRunDurationSeconds")
    run_config.priority = given.get("priority")
    run_config.environment_variables = given.get("environmentVariables") or {}
    _load_processes(run_config, given)
    run_config.environment = _environment(given.get("environment") or {}, file)
    _load_azure(run_config, given)
    _load_data(run_config, given, file)
    return run_config


def _load_processes(run_config: RunConfiguration, given: dict[str, Any]) -> None:
    mpi, pytorch, tensorflow = (given.get(key) or {} for key in ("mpi", "pytorch", "tensorflow"))
    run_config.mpi = MpiConfiguration(mpi.get("processCountPerNode") or 1, mpi.get("nodeCount") or 1)
    backend = pytorch.get("communicationBackend") or "nccl"
    run_config.pytorch = PyTorchConfiguration(backend, pytorch.get("processCount"), pytorch.get("nodeCount") or 1)
    servers = tensorflow.get("parameterServerCount")
    run_config.tensorflow = TensorflowConfiguration(
        tensorflow.get("workerCount") or 1, 1 if servers is None else servers
    )
    docker = given.get("docker") or {}
    run_config.docker = DockerConfiguration(
        bool(docker.get("useDocker")), bool(docker.get("sharedVolumes", True)), docker.get("arguments") or [],
        docker.get("shmSize") or DockerConfiguration().shm_size,
    )  # fmt: skip


def _load_azure(run_config: RunConfiguration, given: dict[str, Any]) -> None:
    amlcompute = given.get("amlcompute") or {}
    run_config.amlcompute.name = amlcompute.get("name")
    run_config.amlcompute.vm_size = amlcompute.get("vmSize")
    run_config.amlcompute.vm_priority = amlcompute.get("vmPriority")
    run_config.amlcompute.cluster_max_node_count = amlcompute.get("clusterMaxNodeCount") or 1
    spark = given.get("spark") or {}
    run_config.spark.configuration = spark.get("configuration") or {}
    run_config.spark.packages = spark.get("packages") or []


def _load_data(run_config: RunConfiguration, given: dict[str, Any], file: Path) -> None:
    from toolkit.data.data_reference import DataReferenceConfiguration

    for name, one in (given.get("dataReferences") or {}).items():
        run_config.data_references[name] = DataReferenceConfiguration(
            datastore_name=one.get("dataStoreName"),
            mode=one.get("mode") or "mount",
            path_on_datastore=one.get("pathOnDataStore"),
            path_on_compute=one.get("pathOnCompute"),
            overwrite=bool(one.get("overwrite")),
        )
    for key in ("data", "outputData"):
        if given.get(key):
            names = ", ".join(map(str, given[key]))
            print(
                f"toolkit: {file}: {key} ({names}) is not read: set it on the configuration, or pass it as an argument",
                file=sys.stderr,
            )


def _environment(given: dict[str, Any], file: Path) -> Environment:
    environment = Environment(given.get("name") or "default-environment")
    variables = given.get("environmentVariables") or {}
    environment.environment_variables = {
        str(key): str(value) for key, value in variables.items() if (key, value) != ("EXAMPLE_ENV_VAR", "EXAMPLE_VALUE")
    }
    python = given.get("python") or {}
    environment.python.user_managed_dependencies = bool(python.get("userManagedDependencies"))
    environment.python.interpreter_path = python.get("interpreterPath") or "python"
    if python.get("condaDependencies"):
        environment.python.conda_dependencies = CondaDependencies(_underlying_structure=python["condaDependencies"])
    elif python.get("condaDependenciesFile") and not environment.python.user_managed_dependencies:
        environment.python.conda_dependencies_file = _beside(file, str(python["condaDependenciesFile"]))
    docker = given.get("docker") or {}
    environment.docker.enabled = bool(docker.get("enabled"))
    environment.docker.shared_volumes = bool(docker.get("sharedVolumes", True))
    environment.docker.shm_size = docker.get("shmSize")
    environment.docker.arguments = list(docker.get("arguments") or [])
    image = docker.get("baseImage")
    if image and not str(image).startswith("mcr.microsoft.com/azureml/"):  # Azure's own default: ours is as good
        environment.docker.base_image = image
    if docker.get("baseDockerfile"):
        environment.docker.base_dockerfile = docker["baseDockerfile"]
    registry = docker.get("baseImageRegistry") or {}
    for key in ("address", "username", "password"):
        if registry.get(key):
            setattr(environment.docker.base_image_registry, key, registry[key])
    return environment


def _beside(file: Path, named: str) -> Path:
    """The file that a run configuration names: from the project's folder, else beside the configuration."""
    project = file.parent.parent if file.parent.name in FOLDERS else file.parent
    return next((place for place in (project / named, file.parent / named) if place.is_file()), project / named)


def save(
    run_config: RunConfiguration, path: str | os.PathLike[str] | None, name: str | None, separate_environment: bool
) -> None:
    """See `RunConfiguration.save`."""
    import yaml

    if run_config.data or run_config.output_data or run_config.data_references:
        raise UserErrorException(
            "a .runconfig keeps no data here: set data, output_data and data_references after loading it"
        )
    target = Path(path or ".").expanduser()
    if target.suffix != SUFFIX:
        target = target / ".azureml" / f"{name or run_config.target}{SUFFIX}"
    with storage_errors("cannot write the run configuration", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        conda = ""
        if separate_environment and run_config.environment.python.specification is not None:
            conda = "environment.yml"
            run_config.environment.python.conda_dependencies.save(target.parent / conda)
        write_text(str(target), yaml.safe_dump(_document(run_config, conda), sort_keys=False))


def _document(run_config: RunConfiguration, conda_file: str) -> dict[str, Any]:
    if any(not isinstance(argument, (str, int, float, bool)) for argument in run_config.arguments):
        raise UserErrorException("a .runconfig keeps no data here: its arguments must be text or numbers")
    return {
        "script": run_config.script,
        "command": run_config.command or "",
        "arguments": list(run_config.arguments),
        "target": run_config.target,
        "framework": run_config.framework,
        "communicator": run_config.communicator,
        "maxRunDurationSeconds": run_config.max_run_duration_seconds,
        "nodeCount": run_config.node_count,
        "priority": run_config.priority,
        "environmentVariables": dict(run_config.environment_variables),
        "environment": _environment_document(run_config.environment, conda_file),
        "history": {
            "outputCollection": run_config.history.output_collection,
            "snapshotProject": run_config.history.snapshot_project,
            "directoriesToWatch": list(run_config.history.directories_to_watch),
        },
        "docker": {
            "useDocker": run_config.docker.use_docker,
            "sharedVolumes": run_config.docker.shared_volumes,
            "shmSize": run_config.docker.shm_size,
            "arguments": list(run_config.docker.arguments),
        },
        "spark": {
            "configuration": dict(run_config.spark.configuration),
            "packages": [str(package) for package in run_config.spark.packages],
        },
        "amlcompute": {"name": run_config.amlcompute.name, "vmSize": run_config.amlcompute.vm_size},
        "tensorflow": {
            "workerCount": run_config.tensorflow.worker_count,
            "parameterServerCount": run_config.tensorflow.parameter_server_count,
        },
        "mpi": {
            "processCountPerNode": run_config.mpi.process_count_per_node,
            "nodeCount": run_config.mpi.node_count,
        },
        "pytorch": {
            "communicationBackend": run_config.pytorch.communication_backend,
            "processCount": run_config.pytorch.process_count,
            "nodeCount": run_config.pytorch.node_count,
        },
    }


def _environment_document(environment: Environment, conda_file: str) -> dict[str, Any]:
    python, docker = environment.python, environment.docker
    dependencies = None if python.specification is None else python.conda_dependencies.as_dict()
    return {
        "name": environment.name,
        "version": environment.version,
        "environmentVariables": dict(environment.environment_variables),
        "python": {
            "userManagedDependencies": python.user_managed_dependencies,
            "interpreterPath": python.interpreter_path,
            "condaDependenciesFile": conda_file or None,
            "condaDependencies": None if conda_file else dependencies,
        },
        "docker": {
            "enabled": docker.enabled,
            "baseImage": docker.base_image,
            "baseDockerfile": docker.base_dockerfile,
            "sharedVolumes": docker.shared_volumes,
            "shmSize": docker.shm_size,
            "arguments": list(docker.arguments),
            "baseImageRegistry": {"address": docker.base_image_registry.address},
        },
    }
