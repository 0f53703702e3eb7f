"""`Estimator` and its kin, from before `ScriptRunConfig`: the same, with an environment made from lists of packages."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import distributed
from toolkit.conda_dependencies import CondaDependencies
from toolkit.distributed import MpiConfiguration, PyTorchConfiguration, TensorflowConfiguration
from toolkit.environment import Environment
from toolkit.errors import UserErrorException
from toolkit.script_run_config import ScriptRunConfig, target_name

if TYPE_CHECKING:
    from toolkit.container_registry import ContainerRegistry

Packages = Iterable[str] | None
File = str | os.PathLike[str] | None


class Mpi(MpiConfiguration):
    """`distributed_training` of an estimator: so many processes a node, as `mpirun` would start them."""

    def __init__(self, process_count_per_node: int = 1) -> None:
        super().__init__(process_count_per_node)


class Nccl:
    """`distributed_training` of a PyTorch estimator: processes that talk by NCCL."""

    backend = "Nccl"


class Gloo:
    """`distributed_training` of a PyTorch estimator: processes that talk by Gloo."""

    backend = "Gloo"


class ParameterServer(TensorflowConfiguration):
    """`distributed_training` of a TensorFlow estimator: workers and parameter servers."""


class Estimator(ScriptRunConfig):
    """A script to run, with the packages that it needs. Submit it with `Experiment.submit`.

    Args:
        source_directory: the folder that is frozen into a snapshot.
        compute_target: a name or a `ComputeTarget`; without one and with a `vm_size`, this machine's.
        entry_script: the script, relative to `source_directory`.
        script_params: its arguments by name; data becomes a path, and "" stands for a flag without a value.
        node_count, process_count_per_node: of a distributed run; all its processes are on one machine.
        worker_count, parameter_server_count: of the distributed_backend "ps".
        framework_version: of the framework, as in "1.13"; None for the newest.
        distributed_training: `Mpi()`, `Nccl()`, `Gloo()` or `ParameterServer()`; distributed_backend: the same as text.
        use_gpu: kept; a compute target with GPUs gives them to its runs.
        use_docker: on the target "local", True makes the run a container.
        custom_docker_image: the base image; custom_docker_base_image is its older name.
        user_managed: the Python of the image, or the one that submits, is taken as it is.
        conda_packages, pip_packages: what the environment holds, with what the two files name.
        environment_definition: an `Environment` instead of all those.
        inputs: data sets and data references that the run is given by name.
        resume_from: see `ScriptRunConfig`.
        vm_priority, source_directory_data_store: kept for Azure ML SDK v1 scripts.

    Raises:
        UserErrorException: something in it cannot work.
    """

    FRAMEWORK_NAME = "Python"
    PACKAGES: tuple[str, ...] = ()  # the framework's, the first in the version that is asked for

    def __init__(
        self,
        source_directory: str | os.PathLike[str],
        *,
        compute_target: object = None,
        vm_size: str | None = None,
        vm_priority: str | None = None,
        entry_script: str | None = None,
        script_params: dict[str, Any] | None = None,
        node_count: int = 1,
        process_count_per_node: int = 1,
        distributed_backend: str | None = None,
        distributed_training: object = None,
        use_gpu: bool = False,
        use_docker: bool | None = None,
        custom_docker_base_image: str | None = None,
        custom_docker_image: str | None = None,
        image_registry_details: ContainerRegistry | None = None,
        user_managed: bool = False,
        conda_packages: Packages = None,
        pip_packages: Packages = None,
        conda_dependencies_file_path: File = None,
        pip_requirements_file_path: File = None,
        conda_dependencies_file: File = None,
        pip_requirements_file: File = None,
        environment_variables: dict[str, Any] | None = None,
        environment_definition: Environment | None = None,
        inputs: Iterable[Any] | None = None,
        source_directory_data_store: object = None,
        shm_size: str | None = None,
        resume_from: object = None,
        max_run_duration_seconds: float | None = None,
        framework_version: str | None = None,
        worker_count: int = 1,
        parameter_server_count: int = 1,
        _disable_validation: bool = True,
        _show_lint_warnings: bool = False,
        _show_package_warnings: bool = False,
    ) -> None:
        source = Path(source_directory)
        packages = _Packages(
            self._framework(framework_version, use_gpu),
            list(conda_packages or []),
            list(pip_packages or []),
            _below(source, conda_dependencies_file or conda_dependencies_file_path),
            _below(source, pip_requirements_file or pip_requirements_file_path),
        )
        image = custom_docker_image or custom_docker_base_image
        environment = environment_definition or packages.environment(type(self).__name__, user_managed)
        if environment_definition is not None and packages.given:
            raise UserErrorException(
                "environment_definition says which packages there are: leave conda_packages, pip_packages and the "
                "files of packages out, or add them to it"
            )
        if image is not None:
            environment.docker.base_image = image
        if image_registry_details is not None:
            environment.docker.base_image_registry = image_registry_details
        super().__init__(
            source_directory,
            script=entry_script,
            arguments=_arguments(script_params),
            environment=environment,
            resume_from=resume_from,
            max_run_duration_seconds=max_run_duration_seconds or self.MAX_DURATION_SECONDS_DEFAULT,
        )
        self._set_target(compute_target, vm_size, vm_priority)
        self._set_container(use_docker, image, shm_size)
        training = distributed_training or _training(distributed_backend, worker_count, parameter_server_count)
        self._set_processes(training, node_count, process_count_per_node)
        self._set_inputs(inputs)
        self.run_config.environment_variables = environment_variables
        self.run_config.source_directory_data_store = getattr(source_directory_data_store, "name", None)

    def _framework(self, version: str | None, use_gpu: bool) -> list[str]:
        """The pip packages of the framework. The resolver says when a version is none that this machine can have."""
        first, *others = self.PACKAGES or ("",)
        if not first:
            return []
        return [f"{first}=={version}" if version else first, *others]

    def _set_target(self, compute_target: object, vm_size: str | None, vm_priority: str | None) -> None:
        self.run_config.amlcompute.vm_size = vm_size
        self.run_config.amlcompute.vm_priority = vm_priority
        if compute_target is not None:
            self.run_config.target = target_name(compute_target)
        elif vm_size:
            self.run_config.target = "amlcompute"

    def _set_container(self, use_docker: bool | None, image: str | None, shm_size: str | None) -> None:
        self.run_config.docker.use_docker = bool(use_docker) or (image is not None and use_docker is not False)
        if shm_size:
            self.run_config.docker.shm_size = shm_size

    def _set_processes(self, training: object, nodes: int, per_node: int) -> None:
        self.run_config.node_count = nodes
        if training is None:
            if per_node > 1:
                distributed.use(self.run_config, MpiConfiguration(per_node, nodes))
            return
        if isinstance(training, (Nccl, Gloo)):
            training = PyTorchConfiguration(training.backend, nodes * per_node, nodes)
        elif isinstance(training, MpiConfiguration):
            training = MpiConfiguration(max(per_node, training.process_count_per_node), nodes)
        elif not isinstance(training, (PyTorchConfiguration, TensorflowConfiguration)):
            raise UserErrorException(
                f"distributed_training is {training!r}: it takes Mpi(), Nccl(), Gloo() or ParameterServer()"
            )
        distributed.use(self.run_config, training)

    def _set_inputs(self, inputs: Iterable[Any] | None) -> None:
        for given in inputs or []:
            if hasattr(given, "data_reference_name"):
                self.run_config.data_references[given.data_reference_name] = given.to_config()
            elif hasattr(given, "dataset") and hasattr(given, "name"):
                self.run_config.data[given.name] = given
            else:
                raise UserErrorException(
                    f"inputs has {given!r}: it takes named data sets, as in dataset.as_named_input('data'), and "
                    "data references"
                )

    @property
    def environment_definition(self) -> Environment:
        """The environment of the run."""
        return self.run_config.environment

    @property
    def conda_dependencies(self) -> CondaDependencies:
        """The packages of the environment, to be changed."""
        return self.run_config.environment.python.conda_dependencies


class PyTorch(Estimator):
    """An estimator with torch and torchvision, in the version `framework_version` of torch."""

    FRAMEWORK_NAME = "PyTorch"
    PACKAGES = ("torch", "torchvision")


class TensorFlow(Estimator):
    """An estimator with tensorflow, in the version `framework_version`."""

    FRAMEWORK_NAME = "TensorFlow"
    PACKAGES = ("tensorflow",)


class SKLearn(Estimator):
    """An estimator with scikit-learn, in the version `framework_version`."""

    FRAMEWORK_NAME = "SKLearn"
    PACKAGES = ("scikit-learn",)


class Chainer(Estimator):
    """An estimator with chainer, in the version `framework_version`."""

    FRAMEWORK_NAME = "Chainer"
    PACKAGES = ("chainer",)


class _Packages:
    """The packages that an estimator was asked for."""

    def __init__(
        self, framework: list[str], conda: list[str], pip: list[str], conda_file: Path | None, pip_file: Path | None
    ) -> None:
        self.framework = framework
        self.conda = conda
        self.pip = pip
        self.conda_file = conda_file
        self.pip_file = pip_file

    @property
    def given(self) -> bool:
        """Whether the script asked for any, beside the framework."""
        return bool(self.conda or self.pip or self.conda_file or self.pip_file)

    def environment(self, name: str, user_managed: bool) -> Environment:
        environment = Environment(f"{name}-estimator")
        environment.python.user_managed_dependencies = user_managed
        if user_managed or not (self.given or self.framework):
            return environment
        if self.conda_file is not None:
            dependencies = CondaDependencies(self.conda_file)
        else:
            dependencies = CondaDependencies.create(pip_packages=[])
        for package in self.conda:
            dependencies.add_conda_package(package)
        named = {_bare(package) for package in (*self.pip, *self.conda)}
        kept = [package for package in self.framework if _bare(package) not in named]
        for line in (*kept, *(_lines(self.pip_file) if self.pip_file else []), *self.pip):
            if line.startswith("-"):
                dependencies.set_pip_option(line)
            else:
                dependencies.add_pip_package(line)
        environment.python.conda_dependencies = dependencies
        return environment


def _bare(requirement: str) -> str:
    """The name of a requirement: "torch" of "torch>=1.0" and of "pytorch=1.0"."""
    name = requirement.strip().lower()
    for sign in "=<>!~[; ":
        name = name.partition(sign)[0]
    return {"pytorch": "torch", "tensorflow-gpu": "tensorflow"}.get(name, name)


def _lines(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserErrorException(f"pip_requirements_file {file} cannot be read: {error}") from error
    bare = [line.partition(" #")[0].strip() for line in lines if not line.lstrip().startswith("#")]
    return [line for line in bare if line]


def _below(source: Path, file: File) -> Path | None:
    """A file that an estimator names: in the source directory, as Azure ML SDK v1 had it, else as it is."""
    if file is None:
        return None
    return source / file if (source / file).is_file() else Path(file)


def _arguments(params: dict[str, Any] | None) -> list[Any]:
    """The arguments of a script: each name, and its value unless that is empty."""
    if params is not None and not isinstance(params, dict):
        raise UserErrorException(f"script_params is {params!r}: it is a dictionary, as in {{'--lr': 0.1}}")
    made: list[Any] = []
    for name, value in (params or {}).items():
        made.append(name)
        if value is not None and not (isinstance(value, str) and not value):
            made.append(value)
    return made


def _training(backend: str | None, workers: int, servers: int) -> object:
    """What `distributed_backend` stands for."""
    if backend is None:
        return None
    named = {"mpi": Mpi(), "nccl": Nccl(), "gloo": Gloo(), "ps": ParameterServer(workers, servers)}
    if str(backend).lower() not in named:
        raise UserErrorException(f"distributed_backend is {backend!r}: it can be {', '.join(named)}")
    return named[backend.lower()]
