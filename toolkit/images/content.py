"""What an image holds and what it is, worked out from a lock, a base and fragments: nothing is written or sent."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.environments import kept_locks
from toolkit.environments.lock import Lock
from toolkit.environments.pip_config import without_credentials
from toolkit.environments.store import Store
from toolkit.errors import EnvironmentBuildError
from toolkit.images import archive, fragments, layers, loading
from toolkit.images.archive import Blob, Description
from toolkit.images.bases import Base
from toolkit.images.fragments import IN_IMAGE, Entry, Fragment
from toolkit.images.image import LOCK
from toolkit.images.layers import Layer, Source
from toolkit.images.packages import Package, packages_of

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Plan:
    """An image before anything is done for it: its packages, and the fragments that are there."""

    lock: Lock
    base: Base
    packages: tuple[Package, ...]
    there: dict[str, Fragment]

    @property
    def missing(self) -> list[Package]:
        return [one for one in self.packages if one.key not in self.there]


def plan(lock: Lock, base: Base, store: Store) -> Plan:
    """What there is to do for an image; nothing is written.

    Raises:
        EnvironmentBuildError: the lock does not fit the base.
    """
    platform = base.platform
    if lock.platform != platform.name:
        raise EnvironmentBuildError(
            f"the lock is for {lock.platform}, and the base image {base.reference} for {platform.name}: solve anew"
        )
    if not lock.conda:
        _check_python(lock, base)
    packages = tuple(packages_of(lock, platform.for_uv))
    found = ((one.key, fragments.find(one.key, store)) for one in packages)
    return Plan(lock, base, packages, {key: fragment for key, fragment in found if fragment is not None})


def _check_python(lock: Lock, base: Base) -> None:
    wanted, has = lock.python.version.split(".")[:2], base.python_version.split(".")[:2]
    if wanted != has:
        there = f"has Python {base.python_version}" if base.python else "has no Python"
        raise EnvironmentBuildError(
            f"the lock takes its packages from PyPI and needs a Python {'.'.join(wanted)} to run them, and the base "
            f"image {base.reference} {there}: set environment.docker.base_image to an image with that Python, or take "
            "Python from a conda channel with package_source='conda'"
        )


def layers_of(plan: Plan, found: Mapping[str, Fragment], store: Store, source: Source) -> list[Layer]:
    """The layers above the base.

    Args:
        found: the fragments of all packages, by key.
        source: where the parts come from that are not kept.
    """
    conda = [part for one in plan.packages if one.conda for part in found[one.key].parts]
    wheels = [part for one in plan.packages if not one.conda for part in found[one.key].parts]
    entries = list(_metadata(plan, found))
    above = fragments.headers(fragments.folders(entry.name for entry in entries))
    metadata = above + b"".join(fragments.blocks(entries))
    return layers.compose(conda, wheels, metadata, len(plan.base.layers), store, source)


def describe(plan: Plan, composed: Sequence[Layer]) -> Description:
    """The image of layers on the base."""
    base, lock = plan.base, plan.lock
    variables = dict(one.partition("=")[::2] for one in base.config.get("Env") or ())
    environ = {
        "PATH": f"{IN_IMAGE}/bin:{variables.get('PATH', _PATH)}",
        "CONDA_PREFIX" if lock.conda else "VIRTUAL_ENV": IN_IMAGE,
    }
    labels = {loading.LABEL: lock.hash, loading.BASE_LABEL: base.reference}
    diffs = [one.removeprefix("sha256:") for one in base.layers]
    below = base.blobs or [Blob(diff, 0, diff) for diff in diffs]
    above = [Blob(layer.digest, layer.size, layer.digest) for layer in composed]
    return archive.describe(base.architecture, base.config, environ, labels, (*below, *above))


def _metadata(plan: Plan, found: Mapping[str, Fragment]) -> Iterator[Entry]:
    """What depends on all packages: conda's records, the venv of the base's Python, the lock."""
    root, lock = IN_IMAGE[1:], plan.lock
    for one in plan.packages:
        if one.conda:
            where = {"fn": one.conda.file_name, "url": without_credentials(one.conda.url)}
            document = {**found[one.key].conda_meta, **where, "channel": without_credentials(one.conda.channel)}
            name = f"{root}/conda-meta/{one.conda.name}-{one.conda.version}-{one.conda.build}.json"
            yield Entry(name, content=_json(document))
    if lock.conda:
        yield Entry(f"{root}/conda-meta/history")
    else:
        yield from _venv(plan.base)
    yield Entry(f"{root}/{LOCK}", content=_json(_public(lock)))


def _venv(base: Base) -> Iterator[Entry]:
    """A venv of the base image's own Python."""
    root, minor = IN_IMAGE[1:], base.python_version.rpartition(".")[0]
    for name in ("python", "python3", f"python{minor}"):
        yield Entry(f"{root}/bin/{name}", 0o777, link=base.python if name == "python" else "python")
    said = {
        "home": os.path.dirname(base.python), "include-system-site-packages": "false", "version": base.python_version,
    }  # fmt: skip
    text = "".join(f"{name} = {value}\n" for name, value in said.items())
    yield Entry(f"{root}/pyvenv.cfg", content=text.encode())
    yield Entry(f"{root}/lib/python{minor}/site-packages/README.txt", content=b"packages go here\n")


def _public(lock: Lock) -> dict[str, Any]:
    """The lock as an image has it: what does not say where and when it was solved."""
    document = {**lock.to_dict(), "created": 0.0, "notices": [], "torch": None, "substitutions": []}
    return kept_locks.public(document)


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, indent=1).encode() + b"\n"
