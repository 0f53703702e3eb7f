"""Getting an image into an engine: only the layers that it lacks, and all of them where it wants all."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.environments.process import Log
from toolkit.errors import ContainerEngineError, StorageError
from toolkit.images import archive, base_probe
from toolkit.images.archive import Blob, Description
from toolkit.images.bases import Base
from toolkit.images.engine import connect, engine_errors, patient, unreachable

if TYPE_CHECKING:
    from docker import DockerClient

REPOSITORY = "toolkit/env"
LABEL = "toolkit.lock"
"""The label of the images that the toolkit made: the hash of the lock."""

BASE_LABEL = "toolkit.base"
"""Their other label: the reference of the base."""

_SECONDS_BETWEEN_LINES = 2.0
_FULL = ("no space left on device", "disk quota exceeded")

Content = Mapping[str, Callable[[], Iterator[bytes]]]


@dataclass(frozen=True)
class Loaded:
    """An image that was loaded: its id in the engine, and how many bytes of layers were sent."""

    id: str
    sent: int


class _Refused(Exception):
    """The engine did not take the archive."""


def tag_of(image: Description) -> str:
    """The name of an image in engines: by its content, so that it never comes to mean another one."""
    return f"{REPOSITORY}:{image.id.removeprefix('sha256:')[:12]}"


def load(engine: str, image: Description, tag: str, base: Base, content: Content, log: Log, scratch: Path) -> Loaded:
    """Load an image.

    Args:
        tag: what the engine is to call it.
        content: the layers above the base, by digest.
        scratch: a folder for the layers of the base, where the engine wants them again.

    Raises:
        ContainerEngineError: the engine cannot be reached, or takes it in no way.
        StorageError: the engine's disk is full.
    """
    client = connect(engine)
    with engine_errors(engine, "the image cannot be loaded"), patient(client):
        there = _there(client, image, base)
        try:
            return _send(client, engine, image, tag, content, there, log)
        except _Refused as refusal:
            log(f"the engine does not take the layers that it lacks alone ({refusal}): sending all of them")
        if there > len(base.layers):
            try:
                return _send(client, engine, image, tag, content, len(base.layers), log)
            except _Refused as refusal:
                log(f"nor those above its base alone ({refusal}): sending the base's as well")
        whole, saved = _with_base(client, image, base, scratch)
        try:
            return _send(client, engine, whole, tag, {**content, **saved}, 0, log)
        except _Refused as refusal:
            raise ContainerEngineError(f"the container engine at {engine} does not load the image: {refusal}") from None


def remove(engine: str, tag: str) -> None:
    """Take a name from an image; its layers stay where another image has them."""
    from docker.errors import APIError

    with engine_errors(engine, f"cannot remove the image {tag}"):
        try:
            connect(engine).api.remove_image(tag, noprune=True)
        except APIError:
            pass


def present(engine: str, image: Description, base: Base) -> int:
    """How many of the image's layers, from the first on, the engine has."""
    with engine_errors(engine, "cannot look at the engine's images"):
        return _there(connect(engine), image, base)


def _there(client: DockerClient, image: Description, base: Base) -> int:
    from docker.errors import ImageNotFound

    wanted = [f"sha256:{blob.diff}" for blob in image.blobs]
    most = len(base.layers)
    for listed in client.api.images(filters={"label": f"{BASE_LABEL}={base.reference}"}):  # Podman takes but one
        try:
            found = client.images.get(listed["Id"])
        except ImageNotFound:  # removed since it was listed, as by another build
            continue
        layers = ((found.attrs or {}).get("RootFS") or {}).get("Layers") or []
        same = next((i for i, (one, other) in enumerate(zip(wanted, layers)) if one != other), None)
        most = max(most, min(len(wanted), len(layers)) if same is None else same)
    return most


def _send(
    client: DockerClient, engine: str, image: Description, tag: str, content: Content, there: int, log: Log
) -> Loaded:  # fmt: skip
    lacking = image.blobs[there:]
    total = sum(blob.size for blob in lacking)
    log(f"sending {total / 1e6:.1f} MB in {len(lacking)} layers to the engine, which has {there} layers of this image")
    sent = archive.write(image, tag, {blob.digest: content[blob.digest] for blob in lacking})
    _post(client, engine, _told(sent, total, log))
    from docker.errors import ImageNotFound

    try:
        found = client.images.get(tag)
    except ImageNotFound as error:
        raise _Refused("it loaded nothing") from error
    if found.id not in (image.id, image.manifest_id):
        raise _Refused(f"it made {found.id} of {image.id}")
    return Loaded(str(found.id), total)


def _post(client: DockerClient, engine: str, body: Iterator[bytes]) -> None:
    """Send an archive; the engine's refusals are told apart."""
    import requests
    from docker.errors import APIError

    try:
        for line in client.api.load_image(body, quiet=True):  # type: ignore[no-untyped-call]
            if "error" in line:
                _refuse(client, engine, str(line["error"]).strip())
    except APIError as error:
        _refuse(client, engine, str(error.explanation or error).strip())
    except requests.exceptions.ConnectionError as error:
        try:
            client.ping()
        except (requests.exceptions.RequestException, OSError):
            raise unreachable(engine, error) from error
        _refuse(client, engine, f"it broke off: {error}")


def _refuse(client: DockerClient, engine: str, words: str) -> None:
    folder = str(client.info().get("DockerRootDir") or "its data folder")
    full = any(one in words.lower() for one in _FULL)
    if not full and "broke off" in words and Path(folder).is_dir():
        full = shutil.disk_usage(folder).free < (1 << 20)
    if full:
        raise StorageError(
            f"the container engine at {engine} cannot take the image: its disk is full, at {folder}. Free some space "
            "there (`docker system df` shows what takes it, `docker image prune` removes what nothing uses)"
        )
    raise _Refused(words)


def _told(pieces: Iterator[bytes], total: int, log: Log) -> Iterator[bytes]:
    """The pieces, with a line in the log now and then of how many have been sent."""
    sent, last = 0, time.monotonic()
    for piece in pieces:
        yield piece
        sent += len(piece)
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            log(f"sent {sent / 1e6:.0f} of {total / 1e6:.0f} MB")


def _with_base(client: DockerClient, image: Description, base: Base, scratch: Path) -> tuple[Description, Content]:
    """The image with the base's layers as the engine itself writes them, and these layers."""
    scratch.mkdir(parents=True, exist_ok=True)
    packed = scratch / "base.tar"
    with packed.open("wb") as file:
        for piece in client.api.get_image(base.id):
            file.write(piece)
    with tarfile.open(packed) as saved:
        listed = saved.extractfile("manifest.json")
        assert listed is not None
        names = json.load(listed)[0]["Layers"]
        files = [_extract(saved, name, scratch / f"base-{index}") for index, name in enumerate(names)]
    packed.unlink()
    blobs = tuple(_blob(file, diff) for file, diff in zip(files, base.layers))
    content = {blob.digest: _reader(file) for blob, file in zip(blobs, files)}
    return replace(image, blobs=(*blobs, *image.blobs[len(blobs) :])), content


def _extract(saved: tarfile.TarFile, name: str, target: Path) -> Path:
    source = saved.extractfile(name)
    assert source is not None
    with target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
    return target


def _blob(file: Path, diff: str) -> Blob:
    digest = hashlib.sha256()
    with file.open("rb") as handle:
        first = handle.read(4)
        digest.update(first)
        while piece := handle.read(1 << 20):
            digest.update(piece)
    return Blob(digest.hexdigest(), file.stat().st_size, diff.removeprefix("sha256:"), base_probe.media_type(first))


def _reader(file: Path) -> Callable[[], Iterator[bytes]]:
    from toolkit.images.fragments import read

    return lambda: read(file)
