"""Looking at a base image: its glibc, its Python, how its engine keeps its layers. Of its programs only Python runs."""

from __future__ import annotations

import io
import json
import re
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from toolkit.images.archive import Blob

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LIBC = (
    "/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6",
    "/lib/libc.so.6",
)  # fmt: skip
_LIBC_VERSION = re.compile(rb"GNU C Library .{0,80}?version (\d+\.\d+)")
_LIBC_NAME = re.compile(r"libc-(\d+\.\d+)\.so$")
_VERSION = "import sys; print('%d.%d.%d' % sys.version_info[:3])"
_VERSION_SECONDS = 60
_LABEL = "toolkit.look"
_FORGOTTEN_SECONDS = 3600
_CONTAINERD = "io.containerd.snapshotter.v1"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_LARGEST_DOCUMENT = 1 << 22


def look(client: DockerClient, found: dict[str, Any]) -> dict[str, Any]:
    """What is known of an image: `libc`, `python`, `python_version`, `blobs` (see `Base`)."""
    config = found.get("Config") or {}
    _remove_forgotten(client)
    with short_lived(client, found["Id"], ["/nothing"]) as container:
        libc = next(filter(None, (_libc(container, path) for path in _LIBC)), "")
        python = _python(container, config)
    version = _version(client, found["Id"], python) if python else ""
    return {
        "libc": libc,
        "python": python if version else "",
        "python_version": version,
        "blobs": [[one.digest, one.size, one.media_type] for one in _blobs(client, found)],
    }


@contextmanager
def short_lived(client: DockerClient, image: str, command: list[str], **options: Any) -> Iterator[Container]:
    """A container to look into, or for one short command; it is not started, and removed in the end."""
    container = client.containers.create(image, command, network_mode="none", labels={_LABEL: "1"}, **options)
    try:
        yield container
    finally:
        container.remove(force=True)


def _remove_forgotten(client: DockerClient) -> None:
    """Remove the containers of processes that were ended while they looked."""
    from docker.errors import APIError

    for listed in client.api.containers(all=True, filters={"label": _LABEL}):
        if time.time() - listed["Created"] > _FORGOTTEN_SECONDS:
            with suppress(APIError):  # somebody else does the same
                client.api.remove_container(listed["Id"], force=True)


def _blobs(client: DockerClient, found: dict[str, Any]) -> list[Blob]:
    """The layers as the engine keeps them; none where it does not keep them as they were sent.

    An engine with containerd's store names images by a manifest of these, and cannot push or save an image whose
    manifest names others.
    """
    if not any(_CONTAINERD in pair for pair in client.info().get("DriverStatus") or ()):
        return []
    sizes: dict[str, tuple[int, bytes]] = {}
    listed: list[str] = []
    with tarfile.open(fileobj=_Stream(client.api.get_image(found["Id"])), mode="r|") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            if file is None:
                continue
            if member.name == "manifest.json":
                listed = json.loads(file.read(_LARGEST_DOCUMENT))[0]["Layers"]
            else:
                sizes[member.name] = member.size, file.read(4)
    diffs = (found.get("RootFS") or {}).get("Layers") or []
    return [
        Blob(name.rpartition("/")[2], sizes[name][0], diff.removeprefix("sha256:"), media_type(sizes[name][1]))
        for name, diff in zip(listed, diffs)
        if name in sizes
    ]


def media_type(first: bytes) -> str:
    """The kind of a layer that begins with these bytes."""
    packed = "+gzip" if first.startswith(_GZIP) else "+zstd" if first.startswith(_ZSTD) else ""
    return _LAYER + packed


class _Stream(io.RawIOBase):
    """What an engine sends, as a file that is read from its beginning to its end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        found = [self._rest]
        length = len(self._rest)
        while size < 0 or length < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            found.append(piece)
            length += len(piece)
        content = b"".join(found)
        self._rest = content[size:] if size >= 0 else b""
        return content[:size] if size >= 0 else content


def _libc(container: Container, path: str) -> str:
    """The version of the glibc at a path; "" where there is none."""
    from docker.errors import NotFound

    try:
        packed, state = container.get_archive(path)
    except NotFound:
        return ""
    named = _LIBC_NAME.search(str((state or {}).get("linkTarget", "")))
    if named:
        return named[1]
    with tarfile.open(fileobj=io.BytesIO(b"".join(packed))) as archive:
        member = archive.next()
        file = archive.extractfile(member) if member is not None and member.isreg() else None
        match = _LIBC_VERSION.search(file.read()) if file else None
    return match[1].decode() if match else ""


def _python(container: Container, config: dict[str, Any]) -> str:
    """The interpreter that `python3` or `python` is in an image; "" without one."""
    variables = dict(one.split("=", 1) for one in config.get("Env") or () if "=" in one)
    for name in ("python3", "python"):
        for folder in variables.get("PATH", _DEFAULT_PATH).split(":"):
            if _exists(container, f"{folder}/{name}"):
                return f"{folder}/{name}"
    return ""


def _exists(container: Container, path: str) -> bool:
    from docker.errors import NotFound

    try:
        packed, _ = container.get_archive(path)
    except NotFound:
        return False
    for _ in packed:  # most often a link; a stream that is left alone would keep its connection
        pass
    return True


def _version(client: DockerClient, image: str, python: str) -> str:
    """The version that an interpreter says it is; "" where it does not start."""
    from docker.errors import APIError
    from requests.exceptions import ReadTimeout

    try:
        with short_lived(client, image, ["-I", "-c", _VERSION], entrypoint=[python], user="0") as container:
            container.start()
            code = container.wait(timeout=_VERSION_SECONDS)["StatusCode"]
            return "" if code else str(container.logs(stdout=True, stderr=False).decode()).strip()
    except (APIError, ReadTimeout):  # it does not start, or hangs
        return ""
