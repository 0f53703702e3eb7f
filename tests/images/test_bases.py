"""Base images in a real engine: looked at, refused, pulled, built from a Dockerfile."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from docker.errors import NotFound

from tests.images.making import Built, request
from tests.rig.registry import Registry
from toolkit.environments.key import image_key
from toolkit.environments.request import ImageRequest, Request
from toolkit.environments.store import Store
from toolkit.errors import ContainerEngineError, EnvironmentBuildError
from toolkit.images import base_probe, bases, credentials
from toolkit.images.bases import Base
from toolkit.images.engine import connect


def _ensure(engine: str, place: Store, image: ImageRequest) -> tuple[Base, str]:
    log: list[str] = []
    return bases.ensure(engine, image, log.append, place), "\n".join(log)


def test_what_a_base_has(place: Store, engine: str, base_image: str, python_base_image: str) -> None:
    slim, log = _ensure(engine, place, ImageRequest(base_image))
    assert slim.libc.startswith("2.") and slim.python == "" and slim.platform.libc == slim.libc
    assert f"base image: {base_image}" in log and "no Python" in log
    with_python, _ = _ensure(engine, place, ImageRequest(python_base_image))
    assert with_python.python == "/usr/bin/python3" and with_python.python_version.startswith("3.")
    assert bases.find(engine, ImageRequest(base_image), place) == slim
    assert not connect(engine).containers.list(all=True, filters={"ancestor": slim.id}, ignore_removed=True)


def test_a_base_without_glibc(place: Store, engine: str, musl_base_image: str) -> None:
    with pytest.raises(EnvironmentBuildError, match="has no glibc, which the packages"):
        Built(request(engine, musl_base_image, None, ("python",)))


def test_no_such_image(place: Store, engine: str, base_image: str, registry: Registry) -> None:
    with pytest.raises(ContainerEngineError) as caught:
        _ensure(engine, place, ImageRequest(f"{registry.address}/no/such:1"))
    message = str(caught.value)
    assert "there is no such image" in message and "name an image that the engine has" in message
    assert f"the engine has {base_image}" in message or ", " in message.rpartition("the engine has ")[2]


def test_a_registry_that_is_not_there(place: Store, engine: str) -> None:
    with pytest.raises(ContainerEngineError, match="its registry cannot be reached"):
        _ensure(engine, place, ImageRequest("127.0.0.1:1/no/such:1"))


def test_a_private_registry(place: Store, engine: str, base_image: str, private_registry: Registry) -> None:
    client, kept = connect(engine), private_registry
    name = f"{kept.address}/team/base"
    client.api.tag(base_image, name, "1")
    try:
        auth = {"username": kept.username, "password": kept.password}
        bases.follow(client.api.push(name, "1", stream=True, decode=True, auth_config=auth), [].append)
    finally:
        client.api.remove_image(f"{name}:1", noprune=True)
    wanted = ImageRequest(f"{name}:1", base_registry=kept.address)
    with pytest.raises(ContainerEngineError, match="you are not signed in to its registry"):
        _ensure(engine, place, wanted)
    credentials.save(kept.address, kept.username, kept.password)
    try:
        _, log = _ensure(engine, place, wanted)
        assert "pulling it" in log and kept.password not in log
    finally:
        client.api.remove_image(f"{name}:1", noprune=True)


@pytest.fixture
def dockerfile(engine: str, base_image: str) -> Iterator[str]:
    """A Dockerfile that nobody has built yet; its image is removed."""
    text = f"FROM {base_image}\nENV FROM_DOCKERFILE={uuid.uuid4().hex}\nLABEL toolkit-test=1\n"
    yield text
    client = connect(engine)
    for image in client.images.list(name=bases.dockerfile_reference(text)):
        client.images.remove(str(image.id), force=True)
    client.images.prune(filters={"dangling": True, "label": "toolkit-test=1"})


def test_a_dockerfile(place: Store, engine: str, dockerfile: str) -> None:
    image = ImageRequest("", dockerfile)
    built = Built(Request(image_key("", image), image=image, engine=engine))
    assert "Step 2/3 : ENV FROM_DOCKERFILE=" in built.log
    assert built.run("sh", "-c", "echo $FROM_DOCKERFILE") == dockerfile.split("=")[1].split("\n")[0]
    _, log = _ensure(engine, place, image)
    assert "Step" not in log


def test_a_dockerfile_that_fails(place: Store, engine: str, dockerfile: str) -> None:
    for broken, words in (
        ("COPY no-such-file /\n", "no-such-file"),
        ("RUNN true\n", "RUNN"),
        ("FROM 127.0.0.1:1/x\n", "refused"),
    ):
        with pytest.raises(EnvironmentBuildError) as caught:
            _ensure(engine, place, ImageRequest("", dockerfile + broken))
        message = str(caught.value)
        assert "cannot be built from its Dockerfile; the engine says:" in message and words in message


def test_packages_on_the_python_of_a_base(place: Store, engine: str, python_base_image: str) -> None:
    built = Built(request(engine, python_base_image, None, ("python", "pip"), ("iniconfig", "pygments")))
    assert "no conda channel answers: taking the packages from PyPI, with the base image's Python" in built.log
    code = "import sys, iniconfig; print(sys.prefix, sys.base_prefix, iniconfig.__file__)"
    assert built.run("python", "-c", code).startswith("/opt/env /usr /opt/env/lib/python3")
    assert built.run("pygmentize", "-V").startswith("Pygments version")
    assert built.run("sh", "-c", "echo $VIRTUAL_ENV") == "/opt/env"


def test_no_python_for_the_packages(place: Store, engine: str, base_image: str, python_base_image: str) -> None:
    for base, conda, has in (
        (base_image, ("python",), "has no Python"),
        (python_base_image, ("python=3.7",), "that satisfies 'python=3.7', and has none"),
    ):
        with pytest.raises(EnvironmentBuildError) as caught:
            Built(request(engine, base, None, conda, ("iniconfig",), package_source="pypi"))
        message = str(caught.value)
        assert has in message and "conda channel" in message and "environment.docker.base_image" in message


def test_a_python_that_does_not_start(place: Store, engine: str, base_image: str) -> None:
    text = f"FROM {base_image}\nRUN ln -s nowhere /usr/bin/python3\nLABEL toolkit-test=1\n"
    try:
        base, log = _ensure(engine, place, ImageRequest("", text))
        assert base.python == base.python_version == "" and "no Python" in log
        assert not connect(engine).containers.list(all=True, filters={"ancestor": base.id}, ignore_removed=True)
    finally:
        connect(engine).images.remove(bases.dockerfile_reference(text), force=True)


def test_containers_of_looks_that_were_killed_are_removed(
    place: Store, engine: str, base_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(engine)
    with base_probe.short_lived(client, base_image, ["/nothing"]) as young:
        _ensure(engine, place, ImageRequest(base_image))
        young.reload()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(young), "remove", lambda self, **options: None)  # as if it were ended here
        with base_probe.short_lived(client, base_image, ["/nothing"]) as forgotten:
            pass
    forgotten.reload()
    monkeypatch.setattr(base_probe, "_FORGOTTEN_SECONDS", -1)
    place.base(bases.ensure(engine, ImageRequest(base_image), [].append, place).id).unlink()
    _ensure(engine, place, ImageRequest(base_image))
    with pytest.raises(NotFound):
        forgotten.reload()


def test_a_dockerfile_on_a_registry_that_lets_nobody_in(
    place: Store, engine: str, dockerfile: str, private_registry: Registry
) -> None:
    credentials.save(private_registry.address, private_registry.username, "wrong")
    with pytest.raises(ContainerEngineError, match=rf"the registry {private_registry.address} does not let") as caught:
        _ensure(engine, place, ImageRequest("", dockerfile, private_registry.address))
    assert "base_image_registry" in str(caught.value) and "wrong" not in str(caught.value)
