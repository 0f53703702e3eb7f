"""Images in a registry: pulled instead of built where somebody has pushed them, and pushed when they were built."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

from toolkit.environments.lock import Lock
from toolkit.environments.process import Log
from toolkit.environments.request import Request
from toolkit.images import base_probe, bases, loading
from toolkit.images.engine import connect, engine_errors, patient
from toolkit.images.fragments import IN_IMAGE
from toolkit.images.image import LOCK, PYTHON, Image

if TYPE_CHECKING:
    from docker import DockerClient

_REPOSITORY = "toolkit-env"


def reference(request: Request) -> str:
    """What the image of a request is called in its registry; "" where it has none."""
    if request.image is None or not request.image.image_registry:
        return ""
    registry = request.image.image_registry.partition("://")[2] or request.image.image_registry
    return f"{registry.rstrip('/')}/{_REPOSITORY}:{request.key}"


def pull(request: Request, log: Log) -> tuple[Image, Lock] | None:
    """The image of a request from its registry, and its lock; None where the registry does not have it.

    A registry that cannot be reached is a line in the log: the image is built then.

    Raises:
        ContainerEngineError: the engine cannot be reached.
    """
    from docker.errors import APIError

    name = reference(request)
    client = connect(request.engine)
    with engine_errors(request.engine, f"cannot pull {name}"), patient(client):
        client.ping()
        log(f"looking for the image in the registry: {name}")
        try:
            bases.pull(client, name, log)
        except APIError as error:
            log(f"not pulled from the registry: {error.explanation or error}")
            return None
        image = client.images.get(name)
        lock = _lock_in(client, str(image.id))
    wanted = request.lock.hash if request.lock else ""
    if lock is None or image.labels.get(loading.LABEL) != lock.hash or (wanted and lock.hash != wanted):
        log(f"{name} is not what its name says, and is not used: it was made from another lock")
        return None
    return Image(str(image.id), PYTHON, lock.hash), lock


def push(request: Request, image: Image, log: Log) -> bool:
    """Push an image to the request's registry. A failure is a line in the log, and False.

    Raises:
        ContainerEngineError: the engine cannot be reached.
    """
    from docker.errors import APIError

    name = reference(request)
    client = connect(request.engine)
    repository, _, tag = name.rpartition(":")
    with engine_errors(request.engine, f"cannot push {name}"), patient(client):
        client.ping()
        log(f"pushing the image to {name}")
        try:
            client.api.tag(image.id, repository, tag)
            authentication = bases.sign_in(bases.registry_of(name))
            bases.follow(client.api.push(repository, tag, stream=True, decode=True, auth_config=authentication), log)
        except APIError as error:
            log(
                f"the image was built, but could not be pushed to {name}: {error.explanation or error}. Check the "
                f"network, and that you are signed in (`docker login {bases.registry_of(name)}`); others will build it "
                "themselves"
            )
            return False
    return True


def _lock_in(client: DockerClient, image_id: str) -> Lock | None:
    """The lock that an image of the toolkit has in it."""
    from docker.errors import NotFound

    try:
        with base_probe.short_lived(client, image_id, ["/nothing"]) as container:
            packed = io.BytesIO(b"".join(container.get_archive(f"{IN_IMAGE}/{LOCK}")[0]))
        with tarfile.open(fileobj=packed) as archive:
            member = archive.next()
            file = archive.extractfile(member) if member is not None and member.isreg() else None
            document: dict[str, Any] = json.load(file) if file else {}
        return Lock.from_dict(document)
    except (NotFound, ValueError, KeyError, TypeError):
        return None
