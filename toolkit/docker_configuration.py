"""`DockerConfiguration`: whether a run is a container, and what the container gets."""

from __future__ import annotations

from collections.abc import Iterable

from toolkit.errors import UserErrorException
from toolkit.targets import docker_options

DEFAULT_SHM_SIZE = docker_options.DEFAULT_SHM_SIZE


class DockerConfiguration:
    """What a run asks of Docker, in `ScriptRunConfig(docker_runtime_config=…)` or `RunConfiguration.docker`.

    Args:
        use_docker: on the target "local", the run is a container, as on the target "docker".
        shared_volumes: kept for Azure ML SDK v1 scripts.
        arguments: further options of `docker run`, as in ["--cap-add", "SYS_PTRACE"].
        shm_size: of the container, as in "2g".

    Raises:
        UserErrorException: `arguments` is one text.
    """

    def __init__(
        self,
        use_docker: bool = False,
        shared_volumes: bool = True,
        arguments: Iterable[str] = (),
        shm_size: str | None = DEFAULT_SHM_SIZE,
    ) -> None:
        if isinstance(arguments, str):
            raise UserErrorException(f"arguments is {arguments!r}: it is a list, as in {arguments.split()!r}")
        self.use_docker = use_docker
        self.shared_volumes = shared_volumes
        self.arguments = [str(argument) for argument in arguments or ()]
        self.shm_size = shm_size

    def over(self, section: dict[str, object]) -> dict[str, object]:
        """An environment's docker section with what this asks for on top of it."""
        earlier = section.get("arguments")
        asked: dict[str, object] = {"arguments": [*(earlier if isinstance(earlier, list) else []), *self.arguments]}
        if self.shm_size and self.shm_size != DEFAULT_SHM_SIZE:
            asked["shm_size"] = self.shm_size
        return {**section, **asked}

    def __repr__(self) -> str:
        return f"DockerConfiguration(use_docker={self.use_docker}, shm_size={self.shm_size!r})"
