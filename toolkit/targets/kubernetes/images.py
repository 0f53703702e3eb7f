"""Where nodes pull the image of a run from: by its digest in a registry, pushed there where it is not yet."""

from __future__ import annotations

from toolkit.environments.process import Log
from toolkit.environments.request import Request
from toolkit.images import engine, registry
from toolkit.images.image import Image
from toolkit.targets.base import LaunchError


def name_in_registry(request: Request) -> str:
    """What the image of a request is called where nodes pull it from, until its digest is known."""
    if registry.reference(request):
        return registry.reference(request)
    return request.image.base_image if request.image else ""


def ensure(request: Request, image_id: str, python: str, log: Log) -> str:
    """The image as "repository@sha256:…"; pushed first where the registry of the workspace lacks it.

    Raises:
        LaunchError: it is in no registry, and cannot be pushed.
        ContainerEngineError: the engine does not answer, or does not have it any more.
    """
    found = _digest(request, image_id)
    if found:
        return found
    said: list[str] = []

    def tell(line: str) -> None:
        said.append(line)
        log(line)

    wanted = registry.reference(request)
    if not wanted or not registry.push(request, Image(image_id, python), tell):
        why = said[-1] if said else "the workspace has no image_registry"
        raise LaunchError(f"the image of the run is in no registry that the cluster could pull it from: {why}")
    found = _digest(request, image_id)
    if not found:
        raise LaunchError(f"{wanted} was pushed, and the container engine does not say under which digest")
    return found


def _digest(request: Request, image_id: str) -> str:
    """The reference by digest of an image that the engine has pushed or pulled; "" for none that can be used."""
    with engine.engine_errors(request.engine, f"cannot look at the image {image_id}"):
        attributes = engine.connect(request.engine).images.get(image_id).attrs or {}
    digests = [str(one) for one in attributes.get("RepoDigests") or []]
    repositories = [registry.reference(request).rpartition(":")[0]]
    if request.specification is None and request.lock is None and request.image is not None:
        repositories.append(_repository(request.image.base_image))  # a base as it is comes from its own registry
    return next(
        (digest for wanted in repositories if wanted for digest in digests if digest.startswith(f"{wanted}@")), ""
    )


def _repository(reference: str) -> str:
    """A reference without its tag or digest."""
    name = reference.partition("@")[0]
    head, separator, tail = name.rpartition(":")
    return head if separator and "/" not in tail else name
