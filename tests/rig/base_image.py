"""Base images made from Debian's packages, without an image registry, and loaded into an engine once."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.rig import cache, debian, debian_tree

LABEL = "toolkit-test.base"  # its value says what the image was made from
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_SLIM = (
    "base-files", "base-passwd", "bash", "ca-certificates", "coreutils", "dash", "findutils", "grep", "hostname",
    "libc-bin", "libstdc++6", "sed", "zlib1g",
)  # fmt: skip
_CREATED = "1970-01-01T00:00:00Z"
_RECIPE = 1  # to be raised with a change of `debian_tree`


@dataclass(frozen=True)
class Base:
    """A base image.

    Attributes:
        reference: its name in an engine.
        packages: Debian's, with what they depend on.
        without: of those that they depend on, the ones that are left out.
        links: symbolic links besides, by their path.
    """

    reference: str
    packages: tuple[str, ...]
    without: tuple[str, ...] = ()
    links: dict[str, str] = field(default_factory=dict)

    @property
    def recipe(self) -> str:
        """What it is made from, in short."""
        said = json.dumps([_RECIPE, debian.suite(), self.packages, self.without, self.links])
        return hashlib.sha256(said.encode()).hexdigest()[:16]


_LINKS = {"usr/bin/awk": "mawk", "usr/bin/sh": "dash"}
_NEVER_RUN = ("debconf", "dpkg", "openssl", "tar", "debianutils")
SLIM = Base(f"toolkit-test/debian:{debian.suite()}-slim", _SLIM, (*_NEVER_RUN, "libssl3", "libssl3t64"), _LINKS)
PYTHON = Base("toolkit-test/python:3-slim", (*_SLIM, "python3"), _NEVER_RUN, _LINKS)
_APPLETS = ("cat", "echo", "env", "id", "ls", "mkdir", "sh", "sleep", "test", "true", "uname")
MUSL = Base(
    "toolkit-test/musl:latest", ("busybox-static", "musl"),
    links={f"usr/bin/{name}": "busybox" for name in _APPLETS},
)  # fmt: skip


def ensure(engine: str, base: Base = SLIM) -> str:
    """See to it that the engine at this address has the image; returns its reference.

    One that is there already is used: 5 ms. Loading takes 1 to 2 s, and making it, once a machine, 3 s.

    Raises:
        DebianError: the packages cannot be fetched.
    """
    import docker
    from docker.errors import APIError, ImageNotFound

    client = docker.DockerClient(base_url=engine, version="auto", timeout=120)
    old = None
    try:
        try:
            old = client.images.get(base.reference)
            if old.labels.get(LABEL) == base.recipe:
                return base.reference
        except ImageNotFound:
            pass
        with archive(base).open("rb") as packed:
            client.images.load(packed)
        if old is not None:
            try:
                client.images.remove(old.id)
            except APIError:  # images are made from it
                pass
        return base.reference
    finally:
        client.close()


def archive(base: Base = SLIM) -> Path:
    """The image as `docker save` would write it, from the rig's cache or made."""
    with cache.locked("images") as folder:
        target = folder / f"{base.recipe}.tar"
        if not target.exists():
            layer = folder / f"{base.recipe}.layer"
            packages = debian.fetch(list(base.packages))
            kept = [one for one in packages if one.name.split("_")[0] not in base.without]
            debian_tree.write(kept, layer, base.links)
            pack(layer, target, base.reference, {LABEL: base.recipe})
            layer.unlink()
        return target


def pack(layer: Path, target: Path, reference: str, labels: dict[str, str]) -> None:
    """Write an image of one layer as a `docker save` archive; the same layer gives the same image id."""
    digest = hashlib.sha256(layer.read_bytes()).hexdigest()
    runtime: dict[str, Any] = {"Env": [f"PATH={_PATH}"], "Cmd": ["sh"], "Labels": labels}
    document = {
        "architecture": _ARCHITECTURES.get(platform.machine(), "amd64"),
        "os": "linux",
        "created": _CREATED,
        "config": runtime,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created": _CREATED, "created_by": "tests/rig/base_image.py"}],
    }
    config = json.dumps(document, sort_keys=True).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [reference], "Layers": [f"{digest}/layer.tar"]}]
    unfinished = target.with_suffix(".unfinished")
    with tarfile.open(unfinished, "w") as tar:
        _add(tar, "manifest.json", json.dumps(manifest).encode())
        _add(tar, name, config)
        member = tarfile.TarInfo(f"{digest}/layer.tar")
        member.size = layer.stat().st_size
        with layer.open("rb") as content:
            tar.addfile(member, content)
    os.replace(unfinished, target)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
