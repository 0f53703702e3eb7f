"""`DockerSection`: what an environment asks of its image and of the containers that run in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from toolkit.container_registry import ContainerRegistry
from toolkit.errors import UserErrorException


class DockerSection:
    """The image below the packages of an environment. Only compute targets that run images look at it.

    Attributes:
        enabled: kept for Azure ML SDK v1 scripts; the compute target decides whether runs are in containers.
        base_image_registry: the private registry that the base image comes from.
        arguments: further options of `docker run`, as in ["--cap-add", "SYS_PTRACE"].
        shm_size: of the containers, as in "2g"; None for the compute target's default.
        shared_volumes: kept for Azure ML SDK v1 scripts.
    """

    def __init__(self) -> None:
        self.enabled = False
        self.base_image_registry = ContainerRegistry()
        self.arguments: list[str] = []
        self.shm_size: str | None = None
        self.shared_volumes = True
        self._base_image: str | None = None
        self._base_dockerfile: str | None = None

    @property
    def base_image(self) -> str | None:
        """The base image, as in "ubuntu:22.04"; None for the compute target's default. Takes the Dockerfile away."""
        return self._base_image

    @base_image.setter
    def base_image(self, image: str | None) -> None:
        if image is not None and (not isinstance(image, str) or not image.strip() or len(image.split()) > 1):
            raise UserErrorException(
                f"docker.base_image is {image!r}: it is the name of an image, as in 'ubuntu:22.04', or None"
            )
        self._base_image = image.strip() if image else None
        if image:
            self._base_dockerfile = None

    @property
    def base_dockerfile(self) -> str | None:
        """The text of a Dockerfile whose image is the base; a path to one is read. Takes the base image away."""
        return self._base_dockerfile

    @base_dockerfile.setter
    def base_dockerfile(self, dockerfile: str | os.PathLike[str] | None) -> None:
        self._base_dockerfile = None if dockerfile is None else _dockerfile_text(dockerfile)
        if dockerfile is not None:
            self._base_image = None

    @property
    def build_context(self) -> None:
        """Not offered: `from_dockerfile` builds from a Dockerfile alone."""
        return None

    @build_context.setter
    def build_context(self, context: object) -> None:
        if context is not None:
            raise UserErrorException(
                "docker.build_context is not offered: build the image with `docker build`, and name it in "
                "docker.base_image, or write a Dockerfile that copies nothing into docker.base_dockerfile"
            )

    @property
    def gpu_support(self) -> bool:
        """True: a compute target with GPUs gives them to its runs without being asked."""
        return True

    @gpu_support.setter
    def gpu_support(self, value: object) -> None:
        pass

    @property
    def has_base(self) -> bool:
        """Whether a base was set: an image or a Dockerfile."""
        return self._base_image is not None or self._base_dockerfile is not None

    def to_dict(self) -> dict[str, Any]:
        """The section as JSON has it, without what signs in to the registry.

        Raises:
            UserErrorException: `arguments` is one text.
        """
        if isinstance(self.arguments, str):
            raise UserErrorException(
                f"docker.arguments is {self.arguments!r}: it is a list, as in {self.arguments.split()!r}"
            )
        return {
            "enabled": bool(self.enabled),
            "base_image": self.base_image,
            "base_dockerfile": self.base_dockerfile,
            "base_registry": self.base_image_registry.address,
            "arguments": [str(argument) for argument in self.arguments or []],
            "shm_size": self.shm_size,
            "shared_volumes": bool(self.shared_volumes),
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> DockerSection:
        """The section that `to_dict` wrote."""
        section = cls()
        section.enabled = bool(document.get("enabled"))
        section._base_image = document.get("base_image")
        section._base_dockerfile = document.get("base_dockerfile")
        section.base_image_registry.address = document.get("base_registry")
        section.arguments = list(document.get("arguments") or [])
        section.shm_size = document.get("shm_size")
        section.shared_volumes = bool(document.get("shared_volumes", True))
        return section


def _dockerfile_text(dockerfile: str | os.PathLike[str]) -> str:
    """The text of a Dockerfile: what is given, or the content of the file that it names."""
    text = os.fspath(dockerfile)
    if not isinstance(text, str) or not text.strip():
        raise UserErrorException("docker.base_dockerfile is empty: it is the text of a Dockerfile, or the path of one")
    if "\n" in text or (not isinstance(dockerfile, os.PathLike) and _is_instruction(text)):
        return text
    file = Path(text).expanduser()
    if not file.is_file():
        raise UserErrorException(
            f"docker.base_dockerfile is {text!r}: there is no such file (looked in {Path.cwd()}), and it is not the "
            "text of a Dockerfile either, which begins with FROM"
        )
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserErrorException(f"the Dockerfile {file} cannot be read: {error}") from error


def _is_instruction(line: str) -> bool:
    """Whether one line is a whole Dockerfile."""
    return line.lstrip().partition(" ")[0].upper() == "FROM" and not Path(line).is_file()
