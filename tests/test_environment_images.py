"""`Environment` for container images: its base, what a run's definition says of it, who signs in to the registry."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from toolkit import ContainerRegistry, DockerSection, Environment, UserErrorException, Workspace
from toolkit.environments import key
from toolkit.environments.request import ImageDefaults, ImageRequest, Request
from toolkit.images import credentials
from toolkit.paths import home

DEFAULTS = ImageDefaults("base:1", "registry:5000/team")
SPEC = "dependencies:\n  - python=3.11\n  - pip:\n    - iniconfig\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "env.yml"
    path.write_text(SPEC)
    return path


def request_of(environment: Environment, gpu: bool = False) -> Request:
    return Request.from_dict(environment.resolve("auto", DEFAULTS, gpu))


def test_packages_go_onto_the_target_s_base(file: Path) -> None:
    request = request_of(Environment.from_conda_specification("mine", file), gpu=True)
    assert request.image == ImageRequest("base:1", "", "", "registry:5000/team") and request.gpu
    assert request.specification is not None and request.specification.pip == ("iniconfig",)
    assert request.key == key.image_key(request.specification.key(True), request.image)
    assert request.key != request_of(Environment.from_conda_specification("mine", file)).key, "a GPU is another image"


def test_packages_go_onto_the_environment_s_own_base(file: Path) -> None:
    environment = Environment.from_docker_image("mine", "ubuntu:22.04", conda_specification=file)
    request = request_of(environment)
    assert request.image is not None and request.image.base_image == "ubuntu:22.04"
    assert not environment.resolve("auto", DEFAULTS)["user_managed"]
    dockerfile = Environment.from_dockerfile("mine", "FROM ubuntu:22.04", conda_specification=str(file))
    image = request_of(dockerfile).image
    assert image is not None and (image.base_image, image.base_dockerfile) == ("", "FROM ubuntu:22.04")


def test_a_base_alone_is_taken_as_it_is() -> None:
    by_hand = Environment("mine")
    by_hand.docker.base_image = "ubuntu:22.04"
    by_hand.python.interpreter_path = "/usr/bin/python3"
    for environment in (by_hand, Environment.from_docker_image("mine", "ubuntu:22.04")):
        resolved = environment.resolve("auto", DEFAULTS)
        request = Request.from_dict(resolved)
        assert request.image is not None and request.specification is None
        assert resolved["user_managed"] and request.key == key.image_key("", request.image)
        assert resolved["interpreter"] == environment.python.interpreter_path
    user_managed = Environment("mine")
    user_managed.python.user_managed_dependencies = True
    assert user_managed.resolve("auto", DEFAULTS)["image"]["base_image"] == "base:1"


def test_a_plain_environment_gets_the_python_of_the_toolkit() -> None:
    specification = request_of(Environment("mine")).specification
    assert specification is not None
    assert specification.conda == (f"python={sys.version_info[0]}.{sys.version_info[1]}",)


def test_a_target_without_images_leaves_the_base_out_and_says_so() -> None:
    environment = Environment.from_docker_image("mine", "ubuntu:22.04")
    resolved = environment.resolve("auto")
    assert resolved["image"] is None and resolved["interpreter"] == sys.executable
    (notice,) = environment.notices()
    assert "has a base image, which this compute target does not use" in notice and "docker" in notice
    assert environment.notices(DEFAULTS) == []


def test_options_of_containers(file: Path) -> None:
    environment = Environment.from_conda_specification("mine", file)
    environment.docker.enabled = True
    environment.docker.arguments = ["--cap-add", "SYS_PTRACE"]
    environment.docker.shm_size = "4g"
    assert environment.resolve("auto", DEFAULTS)["docker"] == {
        "enabled": True, "arguments": ["--cap-add", "SYS_PTRACE"], "shm_size": "4g", "shared_volumes": True,
    }  # fmt: skip
    assert "docker" not in Request.from_dict(environment.resolve("auto", DEFAULTS)).to_dict()


def test_a_base_image_and_a_dockerfile_exclude_each_other(tmp_path: Path) -> None:
    section = DockerSection()
    section.base_image = "a:1"
    section.base_dockerfile = "FROM b\nRUN true\n"
    assert (section.base_image, section.base_dockerfile) == (None, "FROM b\nRUN true\n")
    section.base_image = "a:2"
    assert (section.base_image, section.base_dockerfile) == ("a:2", None)
    (tmp_path / "Dockerfile").write_text("FROM c\n")
    section.base_dockerfile = str(tmp_path / "Dockerfile")
    assert section.base_dockerfile == "FROM c\n"
    section.base_image = None
    assert section.base_dockerfile == "FROM c\n", "v1 scripts set the other one to None after it"
    section.base_dockerfile = None
    assert not section.has_base
    section.gpu_support = False
    assert section.gpu_support


@pytest.mark.parametrize("image", ["", "  ", "two words", 3])
def test_base_images_that_are_none(image: str) -> None:
    with pytest.raises(UserErrorException, match="it is the name of an image, as in"):
        DockerSection().base_image = image


def test_dockerfiles_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserErrorException, match=r"there is no such file .* and it is not the text of a D"):
        Environment.from_dockerfile("mine", "docker/Dockerfile")
    with pytest.raises(UserErrorException, match="there is no such file"):
        Environment.from_dockerfile("mine", tmp_path / "Dockerfile")
    with pytest.raises(UserErrorException, match=r"docker\.base_dockerfile is empty"):
        Environment.from_dockerfile("mine", "")
    with pytest.raises(UserErrorException, match=r"name it in docker\.base_image"):
        Environment.from_docker_build_context("mine", object())


def test_only_one_kind_of_specification(file: Path) -> None:
    with pytest.raises(UserErrorException, match="only one of conda_specification and pip_requirements"):
        Environment.from_docker_image("mine", "a", conda_specification=file, pip_requirements=file)


def private(address: str = "https://My.Registry:5000/v2/") -> ContainerRegistry:
    registry = ContainerRegistry()
    registry.address, registry.username, registry.password = address, "me", "s3cret-w0rd"
    return registry


def test_credentials_are_kept_in_the_home_only(workspace: Workspace, tmp_path: Path) -> None:
    environment = Environment.from_docker_image("mine", "team/base:1", private())
    resolved = environment.resolve("auto", DEFAULTS)
    assert resolved["image"]["base_image"] == "my.registry:5000/team/base:1"
    assert resolved["image"]["base_registry"] == "my.registry:5000"
    environment.register(workspace)
    environment.save_to_directory(tmp_path / "saved")
    assert "s3cret" not in json.dumps(resolved) and "s3cret" not in repr(environment.docker.base_image_registry)
    found = [path for path in tmp_path.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    assert [path.parent for path in found] == [home().root / "credentials"]
    assert stat.S_IMODE(found[0].stat().st_mode) == 0o600
    assert credentials.read("my.registry:5000") == {
        "address": "my.registry:5000", "username": "me", "password": "s3cret-w0rd",
    }  # fmt: skip
    again = Environment.get(workspace, "mine")
    assert again.docker.base_image_registry.password is None
    assert again.resolve("auto", DEFAULTS)["image"] == resolved["image"], "the address alone leads to them"


def test_an_image_that_names_its_registry_keeps_its_name() -> None:
    environment = Environment.from_docker_image("mine", "my.registry:5000/base:1", private())
    assert environment.resolve("auto", DEFAULTS)["image"]["base_image"] == "my.registry:5000/base:1"


def test_registries_that_are_none() -> None:
    environment = Environment.from_docker_image("mine", "base", private("a b"))
    with pytest.raises(UserErrorException, match="'a b' is not the address of a container registry: write its host"):
        environment.resolve("auto", DEFAULTS)
    environment.docker.base_image_registry.address = None
    with pytest.raises(UserErrorException, match="has credentials and no address"):
        environment.resolve("auto", DEFAULTS)
    assert credentials.read("") is None and credentials.read("nobody:1") is None


def test_an_address_with_credentials_is_refused_and_not_repeated() -> None:
    with pytest.raises(
        UserErrorException, match=r"set its username and password .* its address to 'my\.registry'"
    ) as it:
        private("https://me:s3cret@my.registry")
    assert "s3cret" not in str(it.value)


def test_arguments_are_a_list(file: Path) -> None:
    environment = Environment.from_conda_specification("mine", file)
    setattr(environment.docker, "arguments", "--shm-size 8g")  # noqa: B010 (no list, which mypy would see)
    with pytest.raises(UserErrorException, match=r"it is a list, as in \['--shm-size', '8g'\]"):
        environment.resolve("auto", DEFAULTS)
