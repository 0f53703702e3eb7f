"""The container engine: Docker, or Podman through its socket, by the Docker API. The only code that imports docker."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from toolkit import imports
from toolkit.errors import ContainerEngineError, ContainerEngineUnreachable
from toolkit.inscript.files import read_json

if TYPE_CHECKING:
    from docker import DockerClient

DEFAULT = "unix:///var/run/docker.sock"
_PING_SECONDS = 5.0
_PATIENT_SECONDS = 3600


def address(configured: str = "") -> str:
    """The engine's address: the configured one, `DOCKER_HOST`, that of Docker's current context, or the default.

    Raises:
        ContainerEngineError: the current context is not there.
    """
    return configured or os.environ.get("DOCKER_HOST") or _context_address() or DEFAULT


def _context_address() -> str:
    """The address of the context that `DOCKER_CONTEXT` or `docker context use` names; "" for the default one.

    On the way of every submit, so without docker's modules (0.1 s), which leave `DOCKER_CONTEXT` out besides.
    """
    folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    name = os.environ.get("DOCKER_CONTEXT") or _document(os.path.join(folder, "config.json")).get("currentContext")
    if not isinstance(name, str) or name in ("", "default"):
        return ""
    meta = os.path.join(folder, "contexts", "meta", hashlib.sha256(name.encode()).hexdigest(), "meta.json")
    try:
        return str(_document(meta)["Endpoints"]["docker"]["Host"])
    except (KeyError, TypeError) as error:
        raise ContainerEngineError(
            f"there is no Docker context '{name}', which DOCKER_CONTEXT or {folder}/config.json names: `docker context "
            "ls` lists those that there are, `docker context use default` goes back to the engine of this machine"
        ) from error


def _document(path: str) -> dict[str, Any]:
    """A file of Docker's, or {} where it cannot be read: Docker's command line takes it so as well."""
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def ping(engine: str) -> None:
    """Ask the engine whether it is there, within a millisecond or so and without docker's modules.

    An engine that is not on a local socket is asked when it is used.

    Raises:
        ContainerEngineUnreachable: it is not, and what to do.
    """
    if not engine.startswith("unix://"):
        return
    answer = _ask(engine, "/_ping")
    if " 200 " not in answer:
        raise ContainerEngineError(f"the container engine at {engine} answers a ping with {answer[:100]!r}")


def has_image(engine: str, image_id: str) -> bool:
    """Whether the engine has an image: a millisecond or so on a local socket, without docker's modules.

    Raises:
        ContainerEngineUnreachable: the engine does not answer.
    """
    if engine.startswith("unix://"):
        return " 200 " in _ask(engine, f"/images/{image_id}/json")
    with imports.whole:
        from docker.errors import ImageNotFound

    with engine_errors(engine, f"cannot look for the image {image_id}"):
        try:
            connect(engine).images.get(image_id)
        except ImageNotFound:
            return False
    return True


def _ask(engine: str, path: str) -> str:
    """The status line that an engine on a local socket answers to a GET."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PING_SECONDS)
            connection.connect(engine.removeprefix("unix://"))
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            answer = connection.recv(256)
    except OSError as error:
        raise unreachable(engine, error) from error
    return answer.partition(b"\r\n")[0].decode(errors="replace")


def unreachable(engine: str, error: BaseException) -> ContainerEngineUnreachable:
    """What a failed connection comes to: what happened, why, and what to do."""
    text = str(error)
    if isinstance(error, PermissionError) or "Permission denied" in text:
        return ContainerEngineUnreachable(
            f"you may not use the container engine at {engine}: add yourself to its group "
            "(`sudo usermod -aG docker $USER`, then log in again), or run Docker or Podman rootless"
        )
    return ContainerEngineUnreachable(
        f"no container engine answers at {engine} ({text}). Start it (`sudo systemctl start docker`, or "
        "`podman system service`), set DOCKER_HOST or the target's `engine` to another, or submit to "
        'compute_target="local", which needs none'
    )


@lru_cache(maxsize=8)
def connect(engine: str, seconds: int = 120) -> DockerClient:
    """A client of the engine, one a process. Nothing is sent before it is used.

    Args:
        seconds: how long an answer is waited for.

    Raises:
        ContainerEngineUnreachable: the engine does not answer.
    """
    with imports.whole:
        import docker
        from docker.errors import DockerException

    ping(engine)  # docker-py leaves a socket open where this fails
    try:
        return docker.DockerClient(base_url=engine, version="auto", timeout=seconds)
    except (DockerException, OSError) as error:
        raise unreachable(engine, error) from error


@contextmanager
def patient(client: DockerClient) -> Iterator[None]:
    """Let the engine work for an hour without a word: on a large layer, or on a long step of a Dockerfile."""
    before = client.api.timeout
    client.api.timeout = _PATIENT_SECONDS
    try:
        yield
    finally:
        client.api.timeout = before


@contextmanager
def engine_errors(engine: str, what: str) -> Iterator[None]:
    """Turn what docker and requests raise into a `ContainerEngineError` with the engine's own words.

    Args:
        what: what was tried, as in "cannot pull debian:bookworm-slim".
    """
    with imports.whole:
        import requests
        from docker.errors import APIError, DockerException

    try:
        yield
    except requests.exceptions.ConnectionError as error:
        raise unreachable(engine, error) from error
    except APIError as error:
        raise ContainerEngineError(f"{what}: {error.explanation or error}") from error
    except (DockerException, requests.exceptions.RequestException) as error:
        raise ContainerEngineError(f"{what}: {error}") from error
