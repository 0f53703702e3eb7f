"""What a run's definition says of its environment, as builds take it: plain data, one form for prefixes and images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from toolkit.environments.lock import Lock
from toolkit.environments.spec import EnvironmentSpec

DEFAULT_BASE_IMAGE = "debian:bookworm-slim"


@dataclass(frozen=True)
class ImageDefaults:
    """What a compute target that runs images says of them.

    Args:
        base_image: the base of an environment that names none.
        image_registry: see `ImageRequest`.
    """

    base_image: str = DEFAULT_BASE_IMAGE
    image_registry: str = ""


@dataclass(frozen=True)
class ImageRequest:
    """What is asked of an image beyond its packages.

    Args:
        base_image: a reference, as in "debian:bookworm-slim"; "" where there is a Dockerfile.
        base_dockerfile: the text of a Dockerfile whose image is the base; "" for none.
        base_registry: the address of the private registry of the base image, "" where none was named. The
            credentials are kept apart from all definitions (see `toolkit.images.credentials`).
        image_registry: where images are pulled from instead of being built, and pushed to when they were, as in
            "localhost:5000/team"; "" for none.
    """

    base_image: str = DEFAULT_BASE_IMAGE
    base_dockerfile: str = ""
    base_registry: str = ""
    image_registry: str = ""

    def content(self) -> dict[str, str]:
        """The part that decides what is in the image."""
        return {"base_image": self.base_image, "base_dockerfile": self.base_dockerfile}


@dataclass(frozen=True)
class Request:
    """An environment to find or to build.

    Args:
        key: 64 hex digits under which it is kept.
        specification: the packages; None for an image that is its base as it is.
        lock: a lock that is used as it is, instead of solving the specification; None without one.
        gpu: whether it is for a machine with a GPU.
        image: what its image is to be; None for a prefix on this machine.
        engine: the address of the container engine that is to have the image, as in "unix:///var/run/docker.sock".
    """

    key: str
    specification: EnvironmentSpec | None = None
    lock: Lock | None = None
    gpu: bool = False
    image: ImageRequest | None = None
    engine: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The request as JSON has it: its part of a run's definition."""
        return {
            "key": self.key,
            "specification": self.specification.to_dict() if self.specification else None,
            "lock": self.lock.to_dict() if self.lock else None,
            "gpu": self.gpu,
            "image": asdict(self.image) if self.image else None,
            "engine": self.engine,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Request:
        """The request in a definition; what else that says of the environment (its name, its variables) is left out."""
        specification, lock, image = (document.get(name) for name in ("specification", "lock", "image"))
        return cls(
            key=document["key"],
            specification=EnvironmentSpec.from_dict(specification) if specification else None,
            lock=Lock.from_dict(lock) if lock else None,
            gpu=bool(document.get("gpu")),
            image=ImageRequest(**image) if image else None,
            engine=str(document.get("engine") or ""),
        )
