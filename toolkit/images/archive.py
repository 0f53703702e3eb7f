"""An image as a tar that is both a docker-archive and an OCI layout, so that every engine loads it."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_CREATED = "1970-01-01T00:00:00Z"
_OCI = "application/vnd.oci.image"
_PLAIN = f"{_OCI}.layer.v1.tar"
_RECORD = 10_240  # tars end at a multiple of this


@dataclass(frozen=True)
class Blob:
    """A layer as an image's manifest names it.

    Args:
        digest: SHA-256 in hex, of the file as it is sent.
        size: in bytes.
        diff: SHA-256 in hex, of the layer unpacked.
        media_type: whether it is compressed.
    """

    digest: str
    size: int
    diff: str
    media_type: str = _PLAIN

    @property
    def path(self) -> str:
        return f"blobs/sha256/{self.digest}"


@dataclass(frozen=True)
class Description:
    """What an image is, without its layers' content: the same on every machine."""

    config: bytes
    blobs: tuple[Blob, ...]

    @property
    def id(self) -> str:
        """The image's id in an engine that names images by their configuration."""
        return "sha256:" + _digest(self.config)

    @property
    def manifest(self) -> bytes:
        document = {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.manifest.v1+json",
            "config": _descriptor(f"{_OCI}.config.v1+json", self.config),
            "layers": [
                {"mediaType": one.media_type, "digest": f"sha256:{one.digest}", "size": one.size} for one in self.blobs
            ],
        }
        return _json(document)

    @property
    def manifest_id(self) -> str:
        """The image's id in an engine that names images by their manifest."""
        return "sha256:" + _digest(self.manifest)


def describe(
    architecture: str, inherited: Mapping[str, Any], environ: Mapping[str, str], labels: Mapping[str, str],
    blobs: Sequence[Blob],
) -> Description:  # fmt: skip
    """The description of an image.

    Args:
        inherited: the configuration of its base.
        environ: variables over those of the base.
        labels: labels over those of the base.
    """
    variables = dict(one.partition("=")[::2] for one in inherited.get("Env") or ())
    config = {
        **inherited,
        "Env": [f"{name}={value}" for name, value in {**variables, **environ}.items()],
        "Labels": {**(inherited.get("Labels") or {}), **labels},
    }
    document = {
        "architecture": architecture,
        "os": "linux",
        "created": _CREATED,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{one.diff}" for one in blobs]},
        "history": [{"created": _CREATED, "created_by": "toolkit"} for _ in blobs],
    }
    return Description(_json(document), tuple(blobs))


def write(
    image: Description, tag: str, content: Mapping[str, Callable[[], Iterator[bytes]]]
) -> Iterator[bytes]:  # fmt: skip
    """The archive of an image, in pieces.

    Args:
        tag: the name that the engine gives it, as in "toolkit/env:0123456789ab".
        content: the layers that are sent, by digest; the engine has to have the others.
    """
    config_path = f"blobs/sha256/{_digest(image.config)}"
    manifest = image.manifest
    index = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.index.v1+json",
        "manifests": [
            {
                **_descriptor(f"{_OCI}.manifest.v1+json", manifest),
                "annotations": {
                    "io.containerd.image.name": f"docker.io/{tag}",
                    "org.opencontainers.image.ref.name": tag.rpartition(":")[2],
                },
            }
        ],
    }
    listed = [{"Config": config_path, "RepoTags": [tag], "Layers": [one.path for one in image.blobs]}]
    yield b"".join((
        *_file("oci-layout", _json({"imageLayoutVersion": "1.0.0"})),
        *_file("index.json", _json(index)),
        *_file("manifest.json", _json(listed)),
        *_file(config_path, image.config),
        *_file(f"blobs/sha256/{_digest(manifest)}", manifest),
    ))  # fmt: skip
    for blob in {one.digest: one for one in image.blobs if one.digest in content}.values():
        yield _header(blob.path, blob.size)
        yield from content[blob.digest]()
        yield bytes(-blob.size % tarfile.BLOCKSIZE)
    yield bytes(_RECORD)


def _file(name: str, content: bytes) -> tuple[bytes, bytes, bytes]:
    return _header(name, len(content)), content, bytes(-len(content) % tarfile.BLOCKSIZE)


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{_digest(content)}", "size": len(content)}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
