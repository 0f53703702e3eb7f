"""What tests leave in an engine that goes on: containers and images on top of the rig's base images."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.rig import base_image, cache

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.images import Image

BASES = (base_image.SLIM, base_image.PYTHON, base_image.MUSL)


@contextmanager
def none_in(engine: str) -> Iterator[None]:
    """Remove the images that were made on the rig's bases meanwhile, and see that no container of them is left.

    The bases stay, for the next session. Where sessions run at once, the last to end does this for all.

    Raises:
        AssertionError: containers were left. They are removed.
    """
    with open(cache.folder() / "engine.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        left = remove(engine)
    assert not left, f"the tests left containers in {engine}: {', '.join(left)}"


def remove(engine: str) -> list[str]:
    """Remove what is on top of the rig's bases; returns the containers, each as "name (state): command"."""
    import docker
    from docker.errors import NotFound

    client = docker.DockerClient(base_url=engine, version="auto", timeout=120)
    try:
        ours = _images(client)
        there = client.containers.list(all=True, ignore_removed=True)
        containers = [one for one in there if one.attrs["Image"] in ours or base_image.LABEL in one.labels]
        said = [f"{one.name} ({one.status}): {' '.join(one.attrs['Config']['Cmd'] or [])}" for one in containers]
        for container in containers:
            try:
                container.remove(force=True, v=True)
            except NotFound:
                pass
        for image in ours.values():
            if bases := _tags_of_bases(image):
                for tag in set(image.tags) - bases:
                    client.images.remove(tag)
        _remove_images(client, {id for id, image in ours.items() if not _tags_of_bases(image)})
        return said
    finally:
        client.close()


def _images(client: DockerClient) -> dict[str, Image]:
    """All images with the label or the first layer of a base, by their id."""
    images = {image.id: image for image in client.images.list(all=True)}
    layers = {id: image.attrs.get("RootFS", {}).get("Layers") or [""] for id, image in images.items()}
    first = {layers[id][0] for id, image in images.items() if _tags_of_bases(image)}
    return {id: one for id, one in images.items() if base_image.LABEL in one.labels or layers[id][0] in first}


def _tags_of_bases(image: Image) -> set[str]:
    return {base.reference for base in BASES} & set(image.tags)


def _remove_images(client: DockerClient, ids: set[str]) -> None:
    """Remove images; one that others are made from only goes after these."""
    from docker.errors import APIError, ImageNotFound

    before = len(ids) + 1
    while ids and len(ids) < before:
        before = len(ids)
        for id in list(ids):
            try:
                client.images.remove(id, force=True)
            except ImageNotFound:
                pass
            except APIError:
                continue
            ids.discard(id)
