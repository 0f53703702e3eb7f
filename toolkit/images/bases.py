"""Base images: pulled or built where the engine lacks them, and looked at once."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from toolkit.environments.process import Log
from toolkit.environments.request import ImageRequest
from toolkit.environments.store import Store
from toolkit.errors import ContainerEngineError, EnvironmentBuildError, storage_errors
from toolkit.images import base_probe, credentials, platforms
from toolkit.images.archive import Blob
from toolkit.images.engine import connect, engine_errors, patient
from toolkit.images.platforms import Platform
from toolkit.inscript.files import read_json, write_json

if TYPE_CHECKING:
    from docker import DockerClient

_KEPT = ("Env", "Entrypoint", "Cmd", "WorkingDir", "Labels", "ExposedPorts", "Volumes", "StopSignal", "Shell")
_SHOWN = 20
_OURS = re.compile(r"^(localhost/|docker\.io/)?toolkit/|/toolkit-env:")


@dataclass(frozen=True)
class Base:
    """A base image that the engine has.

    Args:
        reference: what it is called.
        id: as the engine names it.
        layers: the digests of its layers, unpacked, from the first on.
        architecture: as images name it, "amd64".
        config: what of its configuration images inherit.
        libc: the version of its glibc; "" without one.
        python: the path of its own Python; "" without one.
        python_version: as in "3.11.2".
        blobs: its layers as the engine keeps them; none where that is no concern of ours.
    """

    reference: str
    id: str
    layers: tuple[str, ...]
    architecture: str
    config: dict[str, Any] = field(default_factory=dict)
    libc: str = ""
    python: str = ""
    python_version: str = ""
    blobs: tuple[Blob, ...] = ()

    @property
    def platform(self) -> Platform:
        """What is solved for.

        Raises:
            EnvironmentBuildError: packages cannot run on it.
        """
        if not self.libc:
            raise EnvironmentBuildError(
                f"the base image {self.reference} has no glibc, which the packages of conda channels and PyPI are "
                "built for (Alpine and other images with musl have none): set environment.docker.base_image to one of "
                "Debian, Ubuntu, Red Hat or the like"
            )
        return Platform(platforms.machine_of(self.architecture), self.libc)


def ensure(engine: str, request: ImageRequest, log: Log, store: Store) -> Base:
    """The base of an image; pulled, or built from its Dockerfile, where the engine lacks it.

    Raises:
        ContainerEngineError: the engine cannot be reached, or the image cannot be had.
        EnvironmentBuildError: the Dockerfile fails.
    """
    client = connect(engine)
    reference = request.base_image
    if request.base_dockerfile:
        reference = dockerfile_reference(request.base_dockerfile)
    with engine_errors(engine, f"cannot look at the base image {reference}"), patient(client):
        found = _inspect(client, reference)
        if found is None:
            if request.base_dockerfile:
                _build(client, request, reference, log)
            else:
                _pull(client, request, log)
            found = _inspect(client, reference) or {}
        return _looked_at(client, reference, found, log, store)


def find(engine: str, request: ImageRequest, store: Store) -> Base | None:
    """The base of an image if the engine has it and it was looked at before; nothing is fetched or written."""
    client = connect(engine)
    reference = dockerfile_reference(request.base_dockerfile) if request.base_dockerfile else request.base_image
    with engine_errors(engine, f"cannot look at the base image {reference}"):
        found = _inspect(client, reference)
    record = read_json(str(store.base(found["Id"]))) if found else None
    return _base(reference, found, record) if found and record else None


def dockerfile_reference(text: str) -> str:
    """The name of the image of a Dockerfile's text."""
    return f"toolkit/base:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _inspect(client: DockerClient, reference: str) -> dict[str, Any] | None:
    from docker.errors import ImageNotFound

    try:
        return client.images.get(reference).attrs or None
    except ImageNotFound:
        return None


# -- pulling and building -------------------------------------------------------------------------------------------


def _pull(client: DockerClient, request: ImageRequest, log: Log) -> None:
    from docker.errors import APIError

    reference = request.base_image
    log(f"the engine has no image {reference}: pulling it")
    try:
        pull(client, reference, log, request.base_registry)
    except APIError as error:
        raise ContainerEngineError(_not_pulled(client, reference, str(error.explanation or error))) from error


def pull(client: DockerClient, reference: str, log: Log, registry: str = "") -> None:
    """Pull an image, with a line in the log where something new is to be said.

    Args:
        registry: whose credentials are used; "" takes those of the registry in the reference, or Docker's own.
    """
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(reference)
    authentication = sign_in(registry or registry_of(reference))
    stream = client.api.pull(repository, tag or "latest", stream=True, decode=True, auth_config=authentication)
    follow(stream, log)


def sign_in(registry: str) -> dict[str, str] | None:
    """The credentials that are kept for a registry, as docker-py takes them; None leaves it to Docker's own."""
    kept = credentials.read(registry) if registry else None
    return {"username": kept["username"], "password": kept["password"]} if kept else None


def registry_of(reference: str) -> str:
    """The registry in a reference; "" for Docker Hub."""
    first, slash, _ = reference.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else ""


def follow(stream: Iterator[dict[str, Any]], log: Log) -> None:
    """Show what an engine says of a pull, push or build.

    Raises:
        APIError: it ended in an error.
    """
    from docker.errors import APIError

    last: dict[str, str] = {}
    for line in stream:
        if "error" in line:
            raise APIError(str(line["error"]), explanation=str(line["error"]).strip())
        status, what = str(line.get("status", "")), str(line.get("id", ""))
        if status and last.get(what) != status and not ("ing" in status and line.get("progressDetail") == {}):
            last[what] = status
            log(f"{what}: {status}" if what else status)


def _not_pulled(client: DockerClient, reference: str, words: str) -> str:
    """Why an image could not be pulled, and what to do."""
    lowered = words.lower()
    if (
        "unauthorized" in lowered
        or "authentication required" in lowered
        or "denied" in lowered
        or "auth credentials" in lowered
    ):
        login = f"docker login {registry_of(reference)}".rstrip()
        why = "you are not signed in to its registry, or it does not exist"
        advice = f"Sign in (`{login}`, or environment.docker.base_image_registry)"
    elif "not found" in lowered or "manifest unknown" in lowered or "invalid reference" in lowered:
        why = "there is no such image"
        advice = "Check its name and tag"
    else:
        why = "its registry cannot be reached"
        advice = "Check the network"
    names = sorted({tag for image in client.images.list() for tag in image.tags if not _OURS.search(tag)})
    has = f"; the engine has {', '.join(names[:5])}" if names else ""
    return (
        f"the base image {reference} cannot be pulled: {why} ({words}). {advice}, or name an image that the engine "
        "has, with `base_image` of the compute target in the workspace configuration or "
        f"environment.docker.base_image{has}"
    )


def _build(client: DockerClient, request: ImageRequest, reference: str, log: Log) -> None:
    """Build the image of a Dockerfile with the engine's own builder."""
    from docker.errors import APIError

    log("building the base image from its Dockerfile")
    _log_in(client, request.base_registry)
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        member = tarfile.TarInfo("Dockerfile")
        content = request.base_dockerfile.encode()
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    context.seek(0)
    said: list[str] = []
    try:
        for line in client.api.build(
            fileobj=context, custom_context=True, encoding="", tag=reference, rm=True, forcerm=True, decode=True
        ):
            for text in str(line.get("stream") or line.get("status") or "").splitlines():
                if text.strip():
                    said.append(text.rstrip())
                    log(text.rstrip())
            if "error" in line:
                raise _failed(said, str(line["error"]))
    except APIError as error:
        raise _failed(said, str(error.explanation or error)) from error


def _log_in(client: DockerClient, registry: str) -> None:
    """Let the engine's builder pull from a private registry."""
    from docker.errors import APIError

    kept = sign_in(registry)
    try:
        if kept:
            client.login(kept["username"], kept["password"], registry=registry, reauth=True)
    except APIError as error:
        raise ContainerEngineError(
            f"the registry {registry} does not let '{kept['username'] if kept else ''}' in "
            f"({error.explanation or error}): set the username and password of environment.docker.base_image_registry"
        ) from error


def _failed(said: list[str], words: str) -> EnvironmentBuildError:
    begin = max((number for number, line in enumerate(said) if line.startswith("Step ")), default=0)
    shown = "\n".join([*said[begin : begin + 1], *said[begin + 1 :][-_SHOWN:], words])
    return EnvironmentBuildError(
        f"the base image cannot be built from its Dockerfile; the engine says:\n{shown}\n"
        "Change that step in environment.docker.base_dockerfile. The build has no context: files to COPY are not there."
    )


# -- looking at it --------------------------------------------------------------------------------------------------


def _looked_at(client: DockerClient, reference: str, found: dict[str, Any], log: Log, store: Store) -> Base:
    file = store.base(found["Id"])
    record = read_json(str(file))
    if record is None:
        record = base_probe.look(client, found)
        with storage_errors("cannot write what is known of the base image", file):
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_json(str(file), record)
    base = _base(reference, found, record)
    libc = f"glibc {base.libc}" if base.libc else "no glibc"
    python = f"Python {base.python_version} at {base.python}" if base.python else "no Python"
    log(f"base image: {reference}, {base.architecture}, {libc}, {python}")
    return base


def _base(reference: str, found: dict[str, Any], record: dict[str, Any]) -> Base:
    config = {name: value for name, value in (found.get("Config") or {}).items() if name in _KEPT and value}
    layers = tuple((found.get("RootFS") or {}).get("Layers") or ())
    diffs = [one.removeprefix("sha256:") for one in layers]
    kept = tuple(Blob(digest, size, diff, kind) for (digest, size, kind), diff in zip(record["blobs"], diffs))
    return Base(
        reference, found["Id"], layers, found["Architecture"], config, record["libc"], record["python"],
        record["python_version"], kept,
    )  # fmt: skip
