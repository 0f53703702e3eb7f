"""The container engine: Docker, or Podman through its socket, by the Docker API. The only code that imports docker."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from toolkit.errors import ContainerEngineError

if TYPE_CHECKING:
    from docker import DockerClient

DEFAULT = "unix:///var/run/docker.sock"
_PING_SECONDS = 5.0


def address(configured: str = "") -> str:
    """The engine's address: the configured one, `DOCKER_HOST`, that of Docker's current context, or the default."""
    return configured or os.environ.get("DOCKER_HOST") or _context_address() or DEFAULT


def _context_address() -> str:
    """The address in the context that `docker context use` chose; "" where it is the default one."""
    configuration = os.path.join(os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker"), "config.json")
    if not os.environ.get("DOCKER_CONTEXT") and not os.path.exists(configuration):
        return ""
    from docker.context import ContextAPI

    context = ContextAPI.get_current_context()
    return str(context.Host) if context is not None and context.name != "default" else ""


def ping(engine: str) -> None:
    """Ask the engine whether it is there, within a millisecond or so and without docker's modules.

    An engine that is not on a local socket is asked when it is used.

    Raises:
        ContainerEngineError: it is not, and what to do.
    """
    if not engine.startswith("unix://"):
        return
    connection = http.client.HTTPConnection("localhost", timeout=_PING_SECONDS)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.sock.settimeout(_PING_SECONDS)
        connection.sock.connect(engine.removeprefix("unix://"))
        connection.request("GET", "/_ping")
        status = connection.getresponse().status
    except OSError as error:
        raise unreachable(engine, error) from error
    finally:
        connection.close()
    if status != http.client.OK:
        raise ContainerEngineError(f"the container engine at {engine} answers with HTTP status {status} to a ping")


def unreachable(engine: str, error: BaseException) -> ContainerEngineError:
    """What a failed connection comes to: what happened, why, and what to do."""
    text = str(error)
    if isinstance(error, PermissionError) or "Permission denied" in text:
        return ContainerEngineError(
            f"you may not use the container engine at {engine}: add yourself to its group "
            "(`sudo usermod -aG docker $USER`, then log in again), or run Docker or Podman rootless"
        )
    return ContainerEngineError(
        f"no container engine answers at {engine} ({text}). Start it (`sudo systemctl start docker`, or "
        "`podman system service`), set DOCKER_HOST or the target's `engine` to another, or submit to "
        'compute_target="local", which needs none'
    )


@lru_cache(maxsize=8)
def connect(engine: str) -> DockerClient:
    """A client of the engine, one a process. Nothing is sent before it is used.

    Raises:
        ContainerEngineError: the engine does not answer.
    """
    import docker
    from docker.errors import DockerException

    try:
        return docker.DockerClient(base_url=engine, version="auto", timeout=120)
    except (DockerException, OSError) as error:
        raise unreachable(engine, error) from error


@contextmanager
def engine_errors(engine: str, what: str) -> Iterator[None]:
    """Turn what docker and requests raise into a `ContainerEngineError` with the engine's own words.

    Args:
        what: what was tried, as in "cannot pull debian:bookworm-slim".
    """
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
