"""Images in a real registry: pushed by who builds them, pulled by the next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.images.making import Built, request
from tests.rig.registry import Registry
from toolkit.environments.key import image_key
from toolkit.environments.request import ImageRequest, Request
from toolkit.environments.store import Store
from toolkit.images import credentials
from toolkit.images import registry as image_registry
from toolkit.images.engine import connect


def _asked(engine: str, base: str, channel: Path, registry: str) -> Request:
    asked = request(engine, base, channel, ("python",), ("mergedeep",))
    assert asked.image is not None
    return replace(asked, image=replace(asked.image, image_registry=registry))


def _forget(built: Built) -> None:
    connect(built.request.engine).images.remove(built.image.id, force=True)


def test_pushed_and_pulled(
    place: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, base_image: str, channel: Path,
    registry: Registry,
) -> None:  # fmt: skip
    asked = _asked(engine, base_image, channel, f"{registry.address}/team")
    first = Built(asked)
    assert f"pushing the image to {registry.address}/team/toolkit-env:{asked.key}" in first.log
    _forget(first)
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / "another"))
    second = Built(asked)
    assert second.image.id == first.image.id and second.image.lock_hash == first.image.lock_hash
    assert "pulled from" in second.log and "solving" not in second.log
    assert second.run("python", "-c", "import mergedeep; print(1)") == "1"
    _forget(second)


def test_a_private_registry(
    place: Store, engine: str, base_image: str, channel: Path, private_registry: Registry
) -> None:
    asked = _asked(engine, base_image, channel, f"{private_registry.address}/team")
    refused = Built(asked)
    assert "could not be pushed" in refused.log and "docker login" in refused.log
    credentials.save(private_registry.address, private_registry.username, private_registry.password)
    lines: list[str] = []
    assert image_registry.push(asked, refused.image, lines.append)
    _forget(refused)
    again = Built(asked)
    assert "pulled from" in again.log and private_registry.password not in again.log
    _forget(again)


def test_a_registry_that_is_not_there(place: Store, engine: str, base_image: str, channel: Path) -> None:
    built = Built(_asked(engine, base_image, channel, "127.0.0.1:1/team"))
    assert "not pulled from the registry" in built.log
    assert "the image was built, but could not be pushed to 127.0.0.1:1/team" in built.log


def test_something_else_under_the_name(
    place: Store, engine: str, base_image: str, channel: Path, registry: Registry
) -> None:
    asked = _asked(engine, base_image, channel, f"{registry.address}/other")
    name, _, tag = image_registry.reference(asked).rpartition(":")
    client = connect(engine)
    client.api.tag(base_image, name, tag)
    client.api.push(name, tag)
    client.api.remove_image(f"{name}:{tag}", noprune=True)
    built = Built(asked)
    for digest in client.images.get(base_image).attrs["RepoDigests"]:
        client.api.remove_image(digest, noprune=True)
    assert "is not what its name says, and is not used" in built.log
    assert built.run("python", "-c", "import mergedeep; print(1)") == "1"


def test_without_a_registry(engine: str, base_image: str, channel: Path) -> None:
    assert image_registry.reference(request(engine, base_image, channel)) == ""


def test_a_base_as_it_is_is_not_looked_for(place: Store, engine: str, base_image: str, registry: Registry) -> None:
    image = ImageRequest(base_image, image_registry=registry.address)
    built = Built(Request(image_key("", image), image=image, engine=engine))
    assert "looking for the image in the registry" not in built.log and "ready: the image" in built.log
