"""From a lock to an image in an engine: fragments of packages, layers of them, and what the engine lacks is sent."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from toolkit.environments import interpreters
from toolkit.environments.process import Log
from toolkit.environments.request import Request
from toolkit.environments.store import Store
from toolkit.errors import ContainerEngineError
from toolkit.images import compiler, content, fragments, layers, loading
from toolkit.images.archive import Description
from toolkit.images.compiler import Compilation
from toolkit.images.content import Plan
from toolkit.images.fragments import Fragment, Part
from toolkit.images.image import PYTHON, Image
from toolkit.images.layers import Layer
from toolkit.images.packages import Package
from toolkit.images.stage import Laid, Stage


class Assembly:
    """An image that is being made.

    Args:
        folder: a new folder for what is laid out; removed with `close`.
    """

    def __init__(self, plan: Plan, request: Request, log: Log, store: Store, folder: Path) -> None:
        self._plan = plan
        self._request = request
        self._log = log
        self._store = store
        self._folder = folder
        self._stages = 0
        self._laid: dict[str, Laid] = {}
        self._compilation: Compilation | None = None
        self.seconds: dict[str, float] = {}

    def close(self) -> None:
        """End what still goes on, and remove the folder and the image of the first layers."""
        if self._compilation is not None:
            self._compilation.stop()
        with suppress(ContainerEngineError):  # that an engine which is away cannot remove it is not what went wrong
            loading.remove(self._request.engine, self._early)
        shutil.rmtree(self._folder, ignore_errors=True)

    def make(self) -> tuple[loading.Loaded, tuple[str, ...]]:
        """Make the image and load it; also the notices of its packages."""
        found = self._fragments()
        with self._timed("layers"):
            composed = content.layers_of(self._plan, found, self._store, self._again)
            image = content.describe(self._plan, composed)
        with self._timed("load"):
            loaded = self._load(image, composed, loading.tag_of(image))
        notices = tuple(notice for one in self._plan.packages for notice in found[one.key].notices)
        return loaded, notices

    def _load(self, image: Description, composed: Sequence[Layer], tag: str) -> loading.Loaded:
        blobs = {layer.digest: self._reader(layer) for layer in composed}
        return loading.load(
            self._request.engine, image, tag, self._plan.base, blobs, self._log, self._folder / "base"
        )  # fmt: skip

    @property
    def _early(self) -> str:
        """What the engine calls an image of the first layers, until it has the whole."""
        return f"{loading.REPOSITORY}-unfinished:{self._request.key[:12]}"

    def _load_early(self, contents: Iterable[Part]) -> None:
        """Load the first layers of the image while the bytecode is compiled."""
        composed = layers.foundation(contents, len(self._plan.base.layers))
        image = content.describe(self._plan, composed)
        if loading.present(self._request.engine, image, self._plan.base) == len(image.blobs):
            return
        with self._timed("load"):
            self._load(image, composed, self._early)

    # -- fragments --------------------------------------------------------------------------------------------------

    def _fragments(self) -> dict[str, Fragment]:
        """The fragments of all packages; those that are missing are made."""
        missing = self._plan.missing
        self._log(f"{len(self._plan.packages)} packages, {len(missing)} of them to be laid out")
        if not missing:
            return self._plan.there
        with self._timed("stage"):
            stage = self._lay_out(missing)
        entries = {one.key: self._laid[one.key].entries for one in missing}
        python = self._compiler(stage) if any(map(compiler.sources, entries.values())) else None
        self._compilation = Compilation(python, entries, self._folder / "bytecode")
        with self._timed("hash"):
            contents = {one.key: self._content(one) for one in missing}
        there = (fragment.parts[0] for fragment in self._plan.there.values())
        self._load_early((*there, *contents.values()))
        with self._timed("compile"):
            self._compilation.wait()
            made = {one.key: self._saved(one, contents[one.key]) for one in missing}
        return {**self._plan.there, **made}

    def _lay_out(self, packages: Sequence[Package]) -> Stage:
        self._stages += 1
        folder = self._folder / str(self._stages)
        stage = Stage(folder, self._plan.lock, self._plan.base.platform, self._store, self._log)
        self._laid.update(stage.lay_out(packages))
        return stage

    def _content(self, package: Package) -> Part:
        entries = self._laid[package.key].entries
        size = sum(entry.size or len(entry.content) for entry in entries)
        return fragments.make(
            str(package), package.key, "content", lambda: fragments.blocks(entries), size,
            fragments.folders(entry.name for entry in entries), self._store,
        )  # fmt: skip

    def _saved(self, package: Package, content: Part) -> Fragment:
        compilation, laid = self._compilation, self._laid[package.key]
        assert compilation is not None
        size = compilation.size(package.key)
        parts = [content]
        if size:
            blocks = compilation.blocks
            key = package.key
            parts.append(
                fragments.make(
                    str(package),
                    key,
                    "bytecode",
                    lambda: blocks(key),
                    size,
                    compilation.folders(key),
                    self._store,
                    keep=True,
                )
            )
        fragment = Fragment(tuple(parts), laid.notices, laid.conda_meta)
        fragments.save(package.key, fragment, self._store)
        return fragment

    def _compiler(self, stage: Stage) -> compiler.Python | None:
        """A Python on this machine that writes the bytecode of the image's."""
        import sys

        version = self._plan.lock.python.version
        for path in (stage.with_python(), sys.executable):
            if compiler.works(path, version):
                return compiler.Python(path, compiler.tag_of(version))
        for one in interpreters.installed(self._log, self._store.building):
            if compiler.works(one.path, version):
                return compiler.Python(one.path, compiler.tag_of(version))
        self._log(
            f"no Python {version.rpartition('.')[0]} on this machine to compile with: what is imported is compiled in "
            "each container, which makes its first import slower"
        )
        return None

    # -- layers -----------------------------------------------------------------------------------------------------

    def _reader(self, layer: Layer) -> Any:
        return lambda: layer.blocks(self._store, self._again)

    def _again(self, part: Part) -> Iterator[bytes]:
        """The members of a large part, which are not kept: laid out again where this was not just done."""
        if part.key not in self._laid:
            self._lay_out([one for one in self._plan.packages if one.key == part.key])
        return fragments.blocks(self._laid[part.key].entries)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[phase] = round(self.seconds.get(phase, 0.0) + time.monotonic() - started, 2)


def build(
    plan: Plan, request: Request, seconds_before: dict[str, float], log: Log, store: Store
) -> tuple[Image, tuple[str, ...]]:  # fmt: skip
    """Make the image of a plan in the request's engine; also the notices of its packages.

    Args:
        seconds_before: how long the phases before this one took.

    Raises:
        EnvironmentBuildError: a package cannot be fetched, verified or installed.
        ContainerEngineError: the engine cannot be reached, or refused.
        StorageError: the disk is full, or the engine's.
    """
    assembly = Assembly(plan, request, log, store, store.building / f"{request.key}-{os.getpid()}")
    try:
        loaded, notices = assembly.make()
    finally:
        assembly.close()
    seconds = {**seconds_before, **assembly.seconds}
    log("seconds: " + ", ".join(f"{phase} {value:.1f}" for phase, value in seconds.items()))
    return Image(loaded.id, PYTHON, plan.lock.hash, seconds), notices
