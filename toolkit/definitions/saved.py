"""Environments as a folder that people edit: the files that Azure ML SDK v1 wrote, and the locks.

azureml_environment.json     the definition, but for what has a file of its own
conda_dependencies.yml       the packages; constraints.txt what bounds them
BaseDockerfile               the Dockerfile of the base image
conda_dependencies.lock.json the lock; of further ones the name says what they are for
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.definitions import lock_file
from toolkit.errors import UserErrorException, storage_errors

if TYPE_CHECKING:
    from toolkit.environment import Environment

DEFINITION = "azureml_environment.json"
PACKAGES = "conda_dependencies.yml"
CONSTRAINTS = "constraints.txt"
DOCKERFILE = "BaseDockerfile"


def save(environment: Environment, path: str | os.PathLike[str], overwrite: bool) -> None:
    """See `Environment.save_to_directory`."""
    folder = Path(path)
    if folder.exists() and (not overwrite or not folder.is_dir()):
        what = "exists already; overwrite=True writes into it" if folder.is_dir() else "is a file; name a folder"
        raise UserErrorException(f"cannot save environment '{environment.name}': {folder} {what}")
    files = _files(environment)
    with storage_errors(f"cannot save environment '{environment.name}'", folder):
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=folder.absolute().parent, prefix=f".{folder.name}-"))
        try:
            staging.chmod(0o755)
            for name, text in files.items():
                (staging / name).write_text(text, encoding="utf-8")
            if folder.exists():
                _take_over(staging, folder, set(files))
            else:
                staging.rename(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def load(path: str | os.PathLike[str]) -> Environment:
    """See `Environment.load_from_directory`."""
    from toolkit.environment import Environment
    from toolkit.environments.specification_file import load_conda_specification

    folder = Path(path)
    document = _read(folder / DEFINITION)
    try:
        environment = Environment(document["name"])
        python = _part(document, "python")
        docker = _part(document, "docker")
        environment.python.user_managed_dependencies = bool(_field(python, "userManagedDependencies", False))
        environment.python.interpreter_path = str(_field(python, "interpreterPath", "python"))
        environment.docker.enabled = bool(_field(docker, "enabled", False))
        environment.docker.arguments = [str(one) for one in _field(docker, "arguments", None) or []]
        environment.docker.shm_size = _field(docker, "shmSize", None)
        environment.docker.shared_volumes = bool(_field(docker, "sharedVolumes", True))
        environment.docker.base_image_registry.address = _field(_part(docker, "baseImageRegistry"), "address", None)
        environment.docker.base_image = _field(docker, "baseImage", None)
        environment.package_source = _field(document, "packageSource", None)
        variables = {str(key): str(value) for key, value in _part(document, "environmentVariables").items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise UserErrorException(
            f"{folder / DEFINITION} is not the definition of an environment ({type(error).__name__}: {error}): write "
            "one with environment.save_to_directory"
        ) from error
    if (folder / DOCKERFILE).is_file():
        environment.docker.base_dockerfile = folder / DOCKERFILE
    if (folder / PACKAGES).is_file():
        environment.python.specification = load_conda_specification(folder / PACKAGES)
        variables = {**environment.python.specification.environment_variables, **variables}
        _take_locks(environment, folder, bool(_field(document, "locksAreGiven", True)))
    environment.environment_variables = variables
    return environment


def _files(environment: Environment) -> dict[str, str]:
    """The content of each file, by name."""
    docker = environment.docker
    document = {
        "name": environment.name,
        "version": environment.version,
        "environmentVariables": dict(environment.environment_variables),
        "packageSource": environment.package_source,
        "python": {
            "interpreterPath": environment.python.interpreter_path,
            "userManagedDependencies": bool(environment.python.user_managed_dependencies),
        },
        "docker": {
            "enabled": bool(docker.enabled),
            "baseImage": docker.base_image,
            "baseImageRegistry": {"address": docker.base_image_registry.address, "username": None, "password": None},
            "arguments": docker.to_dict()["arguments"],
            "shmSize": docker.shm_size,
            "sharedVolumes": bool(docker.shared_volumes),
        },
        "locksAreGiven": environment.locks_are_given,
    }
    files = {DEFINITION: json.dumps(document, indent=4) + "\n"}
    files.update(_package_files(environment))
    if docker.base_dockerfile is not None:
        files[DOCKERFILE] = docker.base_dockerfile
    for number, lock in enumerate(environment.locks):
        what = f".{lock.kind}{'-gpu' if lock.gpu else ''}" if number else ""
        files[f"conda_dependencies{what}{lock_file.SUFFIX}"] = lock_file.text(lock)
    return files


def _package_files(environment: Environment) -> dict[str, str]:
    from toolkit.conda_dependencies import CondaDependencies

    specification = environment.python.specification
    if specification is None:
        return {}
    dependencies = CondaDependencies._of(specification)
    if not specification.constraints:
        return {PACKAGES: dependencies.serialize_to_string()}
    lines = [*dependencies.pip_options, *dependencies.pip_packages, f"-c {CONSTRAINTS}"]
    dependencies.set_pip_requirements(lines)
    return {PACKAGES: dependencies.serialize_to_string(), CONSTRAINTS: "\n".join(specification.constraints) + "\n"}


def _take_over(staging: Path, folder: Path, names: set[str]) -> None:
    """Move new files into a folder that is there, each whole, and take away those of ours that are no more."""
    for name in names:
        os.replace(staging / name, folder / name)
    stale = {PACKAGES, CONSTRAINTS, DOCKERFILE, *(file.name for file in _locks_in(folder))} - names
    for name in stale:
        (folder / name).unlink(missing_ok=True)


def _take_locks(environment: Environment, folder: Path, given: bool) -> None:
    held = []
    specification = environment.python.specification
    assert specification is not None
    for file in _locks_in(folder):
        lock = lock_file.read(file, this_platform_only=False)
        lock_file.check_is_of(lock, file, specification, folder / PACKAGES)
        held.append(lock)
    environment.hold_locks(tuple(held), given)


def _locks_in(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"conda_dependencies*{lock_file.SUFFIX}"))


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserErrorException(
            f"there is no saved environment in {file.parent}: it has no {file.name}, which "
            "environment.save_to_directory writes"
        ) from None
    except (OSError, ValueError) as error:
        raise UserErrorException(f"{file} cannot be read: {error}. Mend it there, or save it anew") from error
    if not isinstance(document, dict):
        raise UserErrorException(f"{file} must hold a mapping, as environment.save_to_directory writes it")
    return document


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    part: dict[str, Any] = _field(document, name, None) or {}
    return part


def _field(document: dict[str, Any], name: str, default: Any) -> Any:
    """A field by its name in JSON, or as older releases of the SDK wrote it: `base_image` for `baseImage`."""
    older = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    value = document.get(name, document.get(older))
    return default if value is None else value
