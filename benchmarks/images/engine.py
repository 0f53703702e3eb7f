"""The container engine of this machine as the benchmarks use it: what they make in it is known and removed again."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.images import disk
from benchmarks.workers import WorkerError
from tests.rig import leftovers
from toolkit.images import engine as container_engine

NAME = "toolkit-benchmark"
_PROBE = "FROM scratch\nCOPY Dockerfile /\n"
_CACHE_MOUNT = "exec.cachemount"


@dataclass
class Engine:
    """The engine.

    Attributes:
        address: as the toolkit has it.
        command: Docker's own command.
        buildkit: a command of Docker's that builds with BuildKit; "" where none does.
    """

    address: str
    command: str
    buildkit: str
    client: Any
    _cache: set[str] = field(default_factory=set)

    def docker(self, *words: str, seconds: float = 900.0, **variables: str) -> str:
        """What `docker WORDS...` prints.

        Raises:
            WorkerError: it failed.
        """
        return run([self.command, *words], seconds, DOCKER_HOST=self.address, **variables)

    def build(self, folder: Path, tag: str, with_buildkit: bool, arguments: dict[str, str]) -> float:
        """Seconds that `docker build` takes for the Dockerfile in a folder."""
        given = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        words = [self.buildkit or self.command, "build", "--quiet", "--network=host", "--tag", tag, *given, str(folder)]
        chosen = {"DOCKER_HOST": self.address, "DOCKER_BUILDKIT": "1" if with_buildkit else "0"}
        disk.settle()
        began = time.perf_counter()
        run(words, 1800.0, **chosen)
        return time.perf_counter() - began

    def size(self, image: str) -> int:
        """An image's size, in bytes."""
        return int(self.client.api.inspect_image(image)["Size"])

    def layers(self, image: str) -> list[str]:
        """The digests of an image's layers, from the first on."""
        return list(self.client.api.inspect_image(image)["RootFS"]["Layers"] or ())

    def images(self) -> set[str]:
        """The ids of all images, those without a name as well."""
        return {str(one["Id"]) for one in self.client.api.images(all=True)}

    def forget_ours(self, base: str) -> None:
        """Remove the images that the toolkit made on a base."""
        below = self.layers(base)
        for image in self.client.images.list(filters={"label": "toolkit.lock"}):
            if image.attrs["RootFS"]["Layers"][: len(below)] == below:
                self.client.api.remove_image(image.id, force=True)

    def forget(self, *tags: str) -> None:
        """Remove images by their names, and with them what the classic builder keeps of their steps."""
        from docker.errors import ImageNotFound

        for tag in tags:
            try:
                self.client.api.remove_image(tag, force=True)
            except ImageNotFound:
                pass

    def forget_dangling(self, base: str) -> None:
        """Remove the images on a base that have no name any more."""
        below = self.layers(base)
        for image in self.client.images.list(filters={"dangling": True}):
            if image.attrs["RootFS"]["Layers"][: len(below)] == below:
                self.client.api.remove_image(image.id, force=True)

    def forget_build_cache(self, downloads: bool = False) -> None:
        """Remove what BuildKit keeps of builds since we began; what they downloaded only where that is asked for."""
        left: list[str] = []
        for _ in range(20):  # what others are made from goes after them
            before = left
            left = [
                one["ID"]
                for one in self._build_cache()
                if one["ID"] not in self._cache and (downloads or one["Type"] != _CACHE_MOUNT)
            ]
            if left == before:
                return
            for record in left:
                self.client.api.prune_builds(filters={"id": [record]}, all=True)

    def keep_build_cache(self) -> None:
        """Note what BuildKit keeps of others' builds."""
        self._cache = {one["ID"] for one in self._build_cache()}

    def _build_cache(self) -> list[dict[str, Any]]:
        return list(self.client.api.df().get("BuildCache") or ())

    def remove_all(self) -> None:
        """Remove all images and build caches that were not there when we began and bear our name or base."""
        from docker.errors import APIError

        mine = [one for one in self.client.images.list(all=True) if any(tag.startswith(NAME) for tag in one.tags)]
        bases = [self.layers(one.id)[-1] for one in mine if any("/base" in tag for tag in one.tags)]
        images = self.client.images.list(all=True)
        built = [one for one in images if set(bases) & set(one.attrs["RootFS"].get("Layers") or ())]
        for image in [*built, *mine]:
            try:
                self.client.api.remove_image(image.id, force=True)
            except APIError:
                pass  # it went with one that was made from it
        self.forget_build_cache(downloads=True)


@contextmanager
def connect(bench: Bench) -> Iterator[Engine]:
    """The engine of this machine, left as it was.

    Raises:
        ContainerEngineError: it does not answer.
    """
    address = container_engine.address()
    client = container_engine.connect(address)
    engine = Engine(address, shutil.which("docker") or "", "", client)
    engine.keep_build_cache()
    bench.peers.versions["Docker Engine"] = str(client.version()["Version"])
    with leftovers.none_in(address):  # no test that ends meanwhile clears ours away
        try:
            engine.buildkit = _with_buildkit(address, bench.folder("probe"))
            yield engine
        finally:
            engine.remove_all()


def _with_buildkit(address: str, folder: Path) -> str:
    """The first of the docker commands on the PATH that builds with BuildKit: newer ones need a plug-in for it."""
    (folder / "Dockerfile").write_text(_PROBE)
    tag = f"{NAME}/probe:{uuid.uuid4().hex[:8]}"
    for place in os.get_exec_path():
        command = os.path.join(place, "docker")
        if os.access(command, os.X_OK):
            chosen = {"DOCKER_HOST": address, "DOCKER_BUILDKIT": "1"}
            try:
                run([command, "build", "--quiet", "--tag", tag, str(folder)], 60.0, **chosen)
                return command
            except WorkerError:
                continue
    return ""


def run(command: list[str], seconds: float, **variables: str) -> str:
    """Run a command; what it prints.

    Raises:
        WorkerError: it failed or took too long; with its last words.
    """
    try:
        done = subprocess.run(
            command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=seconds, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorkerError(str(error)) from error
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())
        raise WorkerError(f"{Path(command[0]).name} {command[1]}: {said[-400:]}")
    return done.stdout
