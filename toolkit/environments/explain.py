"""What a build would do, in lines a person reads: nothing is solved, fetched, built or written."""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.environments import kept_locks, store
from toolkit.environments.lock import Lock
from toolkit.environments.request import Request
from toolkit.errors import EnvironmentBuildError
from toolkit.images import bases, content, loading
from toolkit.images import image as images
from toolkit.images import registry as image_registry
from toolkit.images.bases import Base
from toolkit.images.engine import ping
from toolkit.images.fragments import Part
from toolkit.inscript.files import read_json


def explain(request: Request) -> list[str]:
    """Whether the environment is there; if not, what is there of it and what would be done, and why.

    Raises:
        ContainerEngineError: the container engine of an image does not answer.
    """
    return _prefix(request) if request.image is None else _image(request)


def _prefix(request: Request) -> list[str]:
    present = store.find(request.key)
    if present is not None:
        return [f"the environment is there, and nothing is built: {present.root}", _packages(_lock(request))]
    lock = _lock(request)
    lines = [*_about_lock(request, lock)]
    if lock is not None and store.prefix_of(lock.hash) is not None:
        return [*lines, "another specification came to the same lock, and its prefix is taken"]
    return [
        *lines,
        "the packages would be installed into a new prefix; what was fetched before is in the caches",
    ]


def _image(request: Request) -> list[str]:
    assert request.image is not None
    ping(request.engine)
    present = images.find(request)
    if present is not None:
        lock = _lock(request)
        return [f"the image is there, and nothing is built: {present.id}", *([_packages(lock)] if lock else [])]
    noted = read_json(str(store.store().image(request.key)))
    lines = ["the image was built before, but this engine does not have it (any more)"] if noted else []
    base = bases.find(request.engine, request.image, store.store())
    lines.append(_about_base(request, base))
    if request.specification is None and request.lock is None:
        return [*lines, "no packages are asked for: the image is its base as it is"]
    registry = image_registry.reference(request)
    if registry:
        lines.append(f"it would be pulled, if the registry has it: {registry}; else it would be built and pushed there")
    lock = _lock(request)
    lines += _about_lock(request, lock)
    if lock is not None and base is not None:
        lines += _about_packages(lock, base, request.engine)
    return lines


def _about_base(request: Request, base: Base | None) -> str:
    assert request.image is not None
    if base is not None:
        python = f"with Python {base.python_version}" if base.python else "without Python"
        return f"base image: {base.reference} is there, glibc {base.libc or 'none'}, {python}"
    if request.image.base_dockerfile:
        return "base image: it would be built from its Dockerfile by the engine, or only looked at if that was done"
    return f"base image: {request.image.base_image} would be looked at, and pulled first if the engine lacks it"


def _about_lock(request: Request, lock: Lock | None) -> list[str]:
    if request.lock is not None:
        return [f"lock: the one that was given, {request.lock.hash}; nothing is solved", _packages(request.lock)]
    if lock is None:
        return ["lock: none yet on this machine, the specification would be solved"]
    return [f"lock: {lock.hash} of an earlier solve on this machine; nothing is solved", _packages(lock)]


def _about_packages(lock: Lock, base: Base, engine: str) -> list[str]:
    try:
        plan = content.plan(lock, base, store.store())
    except EnvironmentBuildError as error:
        return [f"the build would fail: {error}"]
    lines = []
    size = sum(part.size for fragment in plan.there.values() for part in fragment.parts)
    if plan.there:
        lines.append(f"reused: {len(plan.there)} packages that are ready for images, {size / 1e6:.1f} MB")
    if plan.missing:
        lines.append(
            "laid out and compiled, since no image on this machine has had them with this Python yet: "
            + ", ".join(str(one) for one in plan.missing)
        )
        return [*lines, "sent to the engine: their layers, and those above them"]
    try:
        composed = content.layers_of(plan, plan.there, store.store(), _never)
    except _NotKept:
        return [*lines, "sent to the engine: the layers that it lacks"]
    image = content.describe(plan, composed)
    there = loading.present(engine, image, base)
    lacking = image.blobs[there:]
    size = sum(blob.size for blob in lacking)
    return [*lines, f"sent to the engine: {size / 1e6:.1f} MB in {len(lacking)} layers; it has the {there} below them"]


class _NotKept(Exception):
    """A large package shares a layer, of which nothing is known before it is laid out again."""


def _never(part: Part) -> Iterator[bytes]:
    raise _NotKept


def _packages(lock: Lock | None) -> str:
    if lock is None:
        return "packages: not known any more"
    megabytes = sum(package.size for package in lock.conda) / 1e6
    conda = f"{len(lock.conda)} from conda channels ({megabytes:.1f} MB packed)" if lock.conda else "none from conda"
    return f"packages: {conda}, {len(lock.entries)} from PyPI; Python {lock.python.version}"


def _lock(request: Request) -> Lock | None:
    if request.lock is not None:
        return request.lock
    return kept_locks.find(request.key, request.image is not None)
