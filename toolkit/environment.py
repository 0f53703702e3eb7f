"""`Environment`: the Python and the packages of a run, by name, from a conda or pip specification."""

from __future__ import annotations

import builtins
import copy
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.docker_section import DockerSection
from toolkit.errors import UserErrorException
from toolkit.python_section import PythonSection
from toolkit.spark_section import SparkSection

if TYPE_CHECKING:
    from toolkit.container_registry import ContainerRegistry
    from toolkit.definitions.building import DockerImageDetails, ImageBuildDetails
    from toolkit.definitions.lock_file import LockFile
    from toolkit.environments.request import ImageDefaults, Request
    from toolkit.environments.spec import EnvironmentSpec
    from toolkit.workspace import Workspace

NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,254}")


class Environment:
    """An environment. One without a specification runs on the interpreter that submits.

    Attributes:
        name: letters, digits, `-`, `_`, `.`.
        version: "1", "2", … once it is registered, else None.
        python: see `PythonSection`.
        docker: see `DockerSection`.
        environment_variables: variables set for the runs.
        package_source: where conda packages come from: "auto", "conda" or "pypi"; None is the workspace's default.
    """

    def __init__(self, name: str, **kwargs: object) -> None:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise UserErrorException(
                f"'{name}' cannot be the name of an environment: use letters, digits, hyphens, underscores or dots, "
                "a letter or digit first"
            )
        self.name = name
        self.version: str | None = None
        self.python = PythonSection()
        self.docker = DockerSection()
        self.spark = SparkSection()
        self.inferencing_stack_version: str | None = None  # of Azure's web services: kept, not used
        self.environment_variables: dict[str, str] = {}
        self.package_source: str | None = None
        self._locks: tuple[LockFile, ...] = ()
        self._locks_are_given = False
        self._file: Path | None = None

    # -- made ---------------------------------------------------------------------------------------------------------

    @staticmethod
    def from_conda_specification(name: str, file_path: str | os.PathLike[str]) -> Environment:
        """An environment from a conda `environment.yml`.

        A lock beside it (`environment.lock.json`) is used as it is, and said.

        Raises:
            EnvironmentSpecificationError: the file is missing, broken, unsafe, or has keys that are not known.
            UserErrorException: the specification has changed since the lock beside it was made, or that lock is for
                another platform.
        """
        from toolkit.environments.specification_file import load_conda_specification

        return Environment._of(name, load_conda_specification(file_path), file_path)

    @staticmethod
    def from_pip_requirements(
        name: str, file_path: str | os.PathLike[str], pip_version: str | None = None
    ) -> Environment:
        """An environment from a `requirements.txt`, on any Python that the machine has.

        Raises:
            EnvironmentSpecificationError: the file is missing or broken.
        """
        from toolkit.environments.specification_file import load_pip_requirements

        return Environment._of(name, load_pip_requirements(file_path, pip_version), file_path)

    @staticmethod
    def _of(
        name: str, specification: EnvironmentSpec, file: str | os.PathLike[str], with_lock: bool = True
    ) -> Environment:
        from toolkit.definitions import lock_file

        environment = Environment(name)
        environment.python.specification = specification
        environment.environment_variables = dict(specification.environment_variables)
        environment._file = Path(file)
        lock = lock_file.beside(file)
        if with_lock and lock.exists():
            held = lock_file.read(lock)
            lock_file.check_is_of(held, lock, specification, Path(file))
            print(f"toolkit: environment '{name}' is what its lock says: {lock}", file=sys.stderr)
            environment.hold_locks((held,), given=True)
        return environment

    @staticmethod
    def from_lock(name: str, file_path: str | os.PathLike[str]) -> Environment:
        """An environment from a lock file alone: what it holds, and the specification in it.

        Raises:
            UserErrorException: the lock is missing, broken, or for another platform.
        """
        from toolkit.definitions import lock_file

        held = lock_file.read(file_path)
        environment = Environment(name)
        environment.python.specification = held.specification
        environment.environment_variables = dict(held.specification.environment_variables)
        environment.hold_locks((held,), given=True)
        return environment

    @staticmethod
    def from_dockerfile(
        name: str,
        dockerfile: str | os.PathLike[str],
        conda_specification: str | os.PathLike[str] | None = None,
        pip_requirements: str | os.PathLike[str] | None = None,
    ) -> Environment:
        """An environment on the image of a Dockerfile: its text, or the path of one.

        Without a specification the image is taken as it is, with the Python on its PATH.

        Raises:
            UserErrorException: the Dockerfile is missing or empty, or both kinds of specification are given.
        """
        environment = Environment._from_dependencies(name, conda_specification, pip_requirements)
        environment.docker.base_dockerfile = dockerfile
        return environment

    @staticmethod
    def from_docker_image(
        name: str,
        image: str,
        container_registry: ContainerRegistry | None = None,
        conda_specification: str | os.PathLike[str] | None = None,
        pip_requirements: str | os.PathLike[str] | None = None,
    ) -> Environment:
        """An environment on an image, which the container engine has or can pull.

        Args:
            image: as in "ubuntu:22.04" or "myregistry.azurecr.io/team/base:1".
            container_registry: where the image comes from when that is private.

        Raises:
            UserErrorException: the image has no name, or both kinds of specification are given.
        """
        environment = Environment._from_dependencies(name, conda_specification, pip_requirements)
        environment.docker.base_image = image
        if container_registry is not None:
            environment.docker.base_image_registry = container_registry
        return environment

    @staticmethod
    def _from_dependencies(
        name: str, conda: str | os.PathLike[str] | None, pip: str | os.PathLike[str] | None
    ) -> Environment:
        if conda and pip:
            raise UserErrorException("only one of conda_specification and pip_requirements can be given")
        if conda:
            return Environment.from_conda_specification(name, conda)
        if pip:
            return Environment.from_pip_requirements(name, pip)
        environment = Environment(name)
        environment.python.user_managed_dependencies = True
        return environment

    @staticmethod
    def from_docker_build_context(name: str, docker_build_context: object) -> Environment:
        """Refused: see `DockerSection.build_context`.

        Raises:
            UserErrorException: always, with what to do instead.
        """
        Environment(name).docker.build_context = docker_build_context
        raise UserErrorException("from_docker_build_context needs a build context; use Environment.from_dockerfile")

    @staticmethod
    def from_existing_conda_environment(name: str, conda_environment_name: str) -> Environment | None:
        """An environment with what a conda environment of this machine holds, versions without builds.

        Returns:
            None, with the reason printed, where there is no conda, mamba or micromamba or no such environment.

        Raises:
            EnvironmentSpecificationError: it holds what an environment cannot keep, as a folder of this machine.
        """
        from toolkit.definitions import existing_conda

        environment = Environment(name)
        try:
            specification = existing_conda.export(conda_environment_name)
        except existing_conda.NotExportedError as error:
            print(f"The conda environment '{conda_environment_name}' was not exported: {error}")
            return None
        environment.python.specification = specification
        environment.environment_variables = dict(specification.environment_variables)
        return environment

    def clone(self, new_name: str) -> Environment:
        """A copy under another name, without a version."""
        other = Environment(new_name)
        other.python = copy.deepcopy(self.python)
        other.docker = copy.deepcopy(self.docker)
        other.environment_variables = dict(self.environment_variables)
        other.package_source = self.package_source
        other._locks, other._locks_are_given = self._locks, self._locks_are_given
        return other

    # -- as a run needs it --------------------------------------------------------------------------------------------

    @property
    def uses_own_interpreter(self) -> bool:
        """Whether runs use an interpreter as it is, so that nothing is built; in an image, its base as it is."""
        return self.python.user_managed_dependencies or self.python.specification is None

    @property
    def locks(self) -> tuple[LockFile, ...]:
        """The locks that it has: from lock files, or known of its registered version."""
        return self._locks

    @property
    def locks_are_given(self) -> bool:
        """Whether the locks were given by lock files, and make it another environment than without them."""
        return self._locks_are_given

    def hold_locks(self, locks: tuple[LockFile, ...], given: bool) -> None:
        """Take locks; `given` says that lock files name them, so that they are a part of the definition."""
        self._locks, self._locks_are_given = locks, given and bool(locks)

    def resolve(
        self, package_source: str, image: ImageDefaults | None = None, gpu: bool = False, elsewhere: str = ""
    ) -> dict[str, Any]:
        """What a run's definition says of its environment: plain data.

        Args:
            package_source: the workspace's, where the environment has none of its own.
            image: what the compute target says of images; None for one that runs none.
            gpu: whether the runs have a GPU.
            elsewhere: the interpreter of runs that bring none, where they are not on this machine; "" for this one's.

        Returns:
            "name", "variables", "docker" (options of containers), "user_managed", with it "interpreter", and the
            fields of `toolkit.environments.request.Request` but for the engine.

        Raises:
            EnvironmentSpecificationError: an entry is not one that conda or pip knows.
            UserErrorException: `interpreter_path` names no interpreter, or the registry of the base image no host.
        """
        from toolkit.definitions import resolve

        return resolve.resolve(self, package_source, image, gpu, elsewhere)

    def notices(self, image: ImageDefaults | None = None, gpu: bool = False) -> builtins.list[str]:
        """What of the environment a run on such a compute target does not follow, a line each."""
        from toolkit.definitions import resolve

        return resolve.notices(self, image, gpu)

    # -- saved, and locked --------------------------------------------------------------------------------------------

    def save_to_directory(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the environment into a folder that people edit: `azureml_environment.json`, `conda_dependencies.yml`,
        `BaseDockerfile`, and its locks. Credentials of a registry are not written.

        Args:
            overwrite: write into a folder that exists already.

        Raises:
            UserErrorException: the folder exists, and `overwrite` is False.
            StorageError: it cannot be written; nothing half-written is left.
        """
        from toolkit.definitions import saved

        saved.save(self, path, overwrite)

    @staticmethod
    def load_from_directory(path: str | os.PathLike[str]) -> Environment:
        """The environment that `save_to_directory` wrote, of the toolkit or of Azure ML SDK v1. It has no version.

        Raises:
            UserErrorException: nothing was saved there, it is broken, or the packages have changed since the lock.
        """
        from toolkit.definitions import saved

        return saved.load(path)

    def lock(
        self,
        path: str | os.PathLike[str] | None = None,
        gpu: bool = False,
        image: bool | None = None,
        workspace: Workspace | None = None,
        upgrade: bool = False,
    ) -> str:
        """Write a lock file: exactly what the environment comes to. It is solved where this machine has not yet.

        A file `environment.lock.json` beside `environment.yml` is used by `from_conda_specification` as it is.

        Args:
            path: the file; None is beside the specification that the environment was made from, or NAME.lock.json.
            gpu: for runs with a GPU.
            image: for container images; None is whether the environment has a base image.
            workspace: says where packages and base images come from; None for the defaults.
            upgrade: solve anew, for the versions of today; later builds on this machine take them.

        Returns:
            The path of the file.

        Raises:
            EnvironmentBuildError: no solution; with the solver's own words.
            UserErrorException: there are no packages to lock, or the file cannot be there.
            StorageError: the disk is full.
        """
        from toolkit.definitions import lock_file, registration

        kind = lock_file.IMAGE if (self.docker.has_base if image is None else image) else lock_file.PREFIX
        made = registration.make_lock(self, workspace, gpu, kind, upgrade)
        file = (
            Path(path) if path else lock_file.beside(self._file) if self._file else Path(self.name + lock_file.SUFFIX)
        )
        lock_file.write(made, file)
        others = tuple(held for held in self._locks if (held.gpu, held.kind) != (gpu, kind))
        self.hold_locks((made, *(others if self._locks_are_given else ())), given=True)
        return str(file)

    # -- registered in a workspace ------------------------------------------------------------------------------------

    def register(self, workspace: Workspace) -> Environment:
        """Keep the definition in the workspace under the next version: "1", "2", …

        An identical definition returns the version that is there. Where the workspace's `tracking_uri` is set, the
        version is the tracking server's, and others that use the server get it with the same lock: it is solved first.

        Raises:
            UserErrorException: the name is one of Azure ML's own.
            EnvironmentBuildError: no solution to publish; with the solver's own words.
            TrackingError: the tracking server cannot be reached.
        """
        from toolkit.definitions import registration

        return registration.register(self, workspace)

    def register_locally(self, workspace: Workspace) -> Environment:
        """As `register`, on this machine only: what a submit does. It waits for no server and solves nothing.

        In a workspace that shares a tracking server, a definition that is not registered there is kept as
        "Autosave_…", so that its version is not taken for one of the server's.
        """
        from toolkit.definitions import registration

        return registration.register_locally(self, workspace)

    @staticmethod
    def get(workspace: Workspace, name: str, version: str | None = None, label: str | None = None) -> Environment:
        """A registered environment; the latest version unless one is named.

        Names that begin with AzureML- are curated environments: what stands for them is said.

        Args:
            label: "latest" is the only one, and excludes `version`.

        Raises:
            UserErrorException: no such environment, with the names that there are.
            TrackingError: the tracking server cannot be reached, and this machine has no copy.
        """
        from toolkit.definitions import registration

        return registration.get(workspace, name, version, label)

    @staticmethod
    def label(workspace: Workspace, name: str, version: str, labels: builtins.list[str]) -> None:
        """Refused: "latest" is the only label, and the latest version has it.

        Raises:
            UserErrorException: always, with what to do instead.
        """
        raise UserErrorException(
            f"Environment.label: labels are not offered; name the version, as in Environment.get(workspace, '{name}', "
            f"version='{version}'), or register a clone under another name"
        )

    @staticmethod
    def list(workspace: Workspace) -> dict[str, Environment]:
        """The latest version of each registered environment, by name."""
        from toolkit.definitions import registration

        return registration.listing(workspace)

    @staticmethod
    def add_private_pip_wheel(workspace: Workspace, file_path: str | os.PathLike[str], exist_ok: bool = False) -> str:
        """Keep a wheel in the workspace's folder.

        Args:
            exist_ok: take the wheel of this name that is there already.

        Returns:
            Its URL, for `CondaDependencies.add_pip_package`; on this machine only.

        Raises:
            UserErrorException: no such wheel, or another of this name is there.
        """
        from toolkit.definitions import private_wheels

        return private_wheels.add(workspace.paths.environments, file_path, exist_ok)

    # -- built --------------------------------------------------------------------------------------------------------

    def build(self, workspace: Workspace, image_build_compute: str | None = None) -> ImageBuildDetails:
        """Register the environment and build it, in the background: `wait_for_completion` of what is returned.

        Args:
            image_build_compute: the compute target that it is built for; None is one that runs images where the
                container engine answers, else one that runs on this machine.

        Raises:
            ContainerEngineError: the environment needs an image, and the container engine does not answer.
        """
        from toolkit.definitions import building

        self.register(workspace)
        return building.start(self._request(workspace, image_build_compute))

    def build_local(
        self,
        workspace: Workspace,
        platform: str | None = None,
        useDocker: bool | None = None,
        pushImageToWorkspaceAcr: bool = False,
        **kwargs: object,
    ) -> None:
        """Build the environment now, and print the build log.

        Args:
            platform: kept for Azure ML SDK v1 scripts; this machine's.
            useDocker: build an image; None is `docker.enabled`.
            pushImageToWorkspaceAcr: refused without an `image_registry` in workspace.yaml, which images are pushed to
                whenever they are built.

        Raises:
            EnvironmentBuildError: it failed; with the tools' own words.
        """
        from toolkit.definitions import building

        if pushImageToWorkspaceAcr and not workspace.configuration.image_registry:
            raise UserErrorException(
                f"pushImageToWorkspaceAcr=True: the workspace '{workspace.name}' has no registry; set image_registry "
                f"in {workspace.paths.configuration}, as in registry.example.com/team"
            )
        image = bool(self.docker.enabled if useDocker is None else useDocker)
        target = building.default_target(self, workspace, image)
        building.start(building.request_of(self, workspace, target)).wait_for_completion(show_output=True)

    def get_image_details(self, workspace: Workspace) -> DockerImageDetails:
        """What there is of the environment's image.

        Raises:
            ContainerEngineError: the container engine does not answer.
        """
        from toolkit.definitions import building

        target = building.default_target(self, workspace, image=True)
        return building.details(building.request_of(self, workspace, target))

    def explain(self, workspace: Workspace, compute_target: object = None) -> builtins.list[str]:
        """Print what would be built for runs on a compute target, what is reused, and why; and return the lines.

        Args:
            compute_target: a name or a `ComputeTarget`; None chooses as `build` does.
        """
        from toolkit.environments import explain
        from toolkit.script_run_config import target_name

        name = None if compute_target is None else target_name(compute_target)
        request = self._request(workspace, name)
        lines = explain.explain(request) if request.key else ["nothing is built: runs use an interpreter as it is"]
        for line in lines:
            print(line)
        return lines

    def _request(self, workspace: Workspace, target: str | None) -> Request:
        from toolkit.definitions import building

        return building.request_of(self, workspace, target or building.default_target(self, workspace))

    def __repr__(self) -> str:
        return f"Environment(name={self.name!r}, version={self.version!r})"
