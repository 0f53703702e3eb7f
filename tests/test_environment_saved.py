"""Environments as folders that people edit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import needs
from toolkit import ContainerRegistry, Environment, StorageError, UserErrorException
from toolkit.definitions import definition

SPEC = (
    "channels: [a, b]\nchannel_priority: strict\ndependencies:\n  - python>=3.8\n  - pip:\n    - -c pins.txt\n"
    "    - --extra-index-url https://host/simple\n    - iniconfig\nvariables: {A: 1}\n"
)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    (tmp_path / "pins.txt").write_text("iniconfig<3\n")
    (tmp_path / "env.yml").write_text(SPEC)
    registry = ContainerRegistry()
    registry.address, registry.password = "host:5000", "s3cret"
    made = Environment.from_docker_image("mine", "base:1", registry, conda_specification=tmp_path / "env.yml")
    made.environment_variables["B"] = "2"
    made.package_source = "pypi"
    made.docker.arguments = ["--init"]
    made.docker.shm_size = "1g"
    return made


def test_saved_and_loaded(environment: Environment, tmp_path: Path) -> None:
    environment.version = "3"
    environment.save_to_directory(tmp_path / "saved")
    names = ["azureml_environment.json", "conda_dependencies.yml", "constraints.txt"]
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == names
    loaded = Environment.load_from_directory(tmp_path / "saved")
    assert (loaded.name, loaded.version) == ("mine", None)
    assert definition.of(loaded) == definition.of(environment)
    assert "s3cret" not in (tmp_path / "saved" / names[0]).read_text()


def test_a_dockerfile_has_a_file_of_its_own(environment: Environment, tmp_path: Path) -> None:
    environment.docker.base_dockerfile = "FROM base\nRUN true\n"
    environment.save_to_directory(str(tmp_path / "saved"))
    assert (tmp_path / "saved" / "BaseDockerfile").read_text() == "FROM base\nRUN true\n"
    (tmp_path / "saved" / "BaseDockerfile").write_text("FROM other\n")
    loaded = Environment.load_from_directory(str(tmp_path / "saved"))
    assert (loaded.docker.base_dockerfile, loaded.docker.base_image) == ("FROM other\n", None)


def test_a_plain_one_has_one_file(tmp_path: Path) -> None:
    plain = Environment("plain")
    plain.python.user_managed_dependencies = True
    plain.save_to_directory(tmp_path / "saved")
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["azureml_environment.json"]
    assert definition.of(Environment.load_from_directory(tmp_path / "saved")) == definition.of(plain)


def test_overwriting(environment: Environment, tmp_path: Path) -> None:
    environment.docker.base_dockerfile = "FROM base\n"
    environment.save_to_directory(tmp_path / "saved")
    (tmp_path / "saved" / "notes.txt").write_text("mine")
    with pytest.raises(UserErrorException, match="exists already; overwrite=True writes into it"):
        environment.save_to_directory(tmp_path / "saved")
    Environment("plain").save_to_directory(tmp_path / "saved", overwrite=True)
    names = sorted(path.name for path in (tmp_path / "saved").iterdir())
    assert names == ["azureml_environment.json", "notes.txt"], "nothing of the other environment is left"
    (tmp_path / "file").touch()
    with pytest.raises(UserErrorException, match="is a file; name a folder"):
        environment.save_to_directory(tmp_path / "file", overwrite=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    able = os.geteuid() == 0 and shutil.which("mount")
    needs(able and subprocess.run(command, check=False).returncode == 0, "root, and leave to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_left_as_it_was(environment: Environment, small_disk: Path) -> None:
    environment.save_to_directory(small_disk / "there")
    before = {path.name: path.read_text() for path in (small_disk / "there").iterdir()}
    environment.docker.base_dockerfile = "FROM base\n" + "# long\n" * 20_000
    for folder in ("new", "there"):
        with pytest.raises(StorageError, match=r"cannot save environment 'mine' to .*: the disk is full"):
            environment.save_to_directory(small_disk / folder, overwrite=True)
    assert [path.name for path in small_disk.iterdir()] == ["there"]
    assert {path.name: path.read_text() for path in (small_disk / "there").iterdir()} == before


def test_locks_are_saved_and_count(tmp_path: Path) -> None:
    (tmp_path / "env.yml").write_text("dependencies:\n  - python>=3.8\n  - pip:\n    - iniconfig\n")
    environment = Environment.from_conda_specification("mine", tmp_path / "env.yml")
    environment.lock()
    environment.save_to_directory(tmp_path / "saved")
    loaded = Environment.load_from_directory(tmp_path / "saved")
    assert definition.of(loaded) == definition.of(environment) and loaded.locks[0].hash == environment.locks[0].hash
    (tmp_path / "saved" / "conda_dependencies.yml").write_text("dependencies: [python>=3.8, pip: [attrs]]\n")
    with pytest.raises(UserErrorException, match="has changed since its lock"):
        Environment.load_from_directory(tmp_path / "saved")


def test_what_the_sdk_saved(tmp_path: Path) -> None:
    document = {
        "assetId": None,
        "databricks": {"eggLibraries": []},
        "docker": {
            "arguments": [], "baseDockerfile": None, "baseImage": "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04",
            "baseImageRegistry": {"address": None, "password": None, "registryIdentity": None, "username": None},
            "enabled": True, "platform": {"architecture": "amd64", "os": "Linux"}, "sharedVolumes": True,
            "shmSize": "2g",
        },
        "environmentVariables": {"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"},
        "inferencingStackVersion": None, "name": "from-azure",
        "python": {"baseCondaEnvironment": None, "interpreterPath": "python", "userManagedDependencies": False},
        "r": None, "spark": {"packages": [], "precachePackages": True, "repositories": []}, "version": "4",
    }  # fmt: skip
    (tmp_path / "azureml_environment.json").write_text(json.dumps(document))
    (tmp_path / "conda_dependencies.yml").write_text("dependencies: [python=3.10, pip: [azureml-defaults, six]]\n")
    loaded = Environment.load_from_directory(tmp_path)
    assert loaded.docker.base_image == "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
    assert (loaded.docker.enabled, loaded.docker.shm_size) == (True, "2g")
    assert loaded.environment_variables == {"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"}
    assert loaded.python.specification is not None and loaded.python.specification.pip == ("azureml-defaults", "six")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no saved environment in"),
        ("{", "cannot be read"),
        ("[]", "must hold a mapping"),
        ("{}", "is not the definition of an environment (KeyError: 'name')"),
        ('{"name": "a", "docker": 3}', "is not the definition of an environment"),
    ],
)
def test_folders_that_are_none(text: str | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "azureml_environment.json").write_text(text)
    with pytest.raises(UserErrorException) as caught:
        Environment.load_from_directory(tmp_path)
    assert words in str(caught.value) and "azureml_environment.json" in str(caught.value)
