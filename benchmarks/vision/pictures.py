"""Sets of real images for the figures: CIFAR-10's, as they are or enlarged."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import REPOSITORY, Bench
from benchmarks.workers import Worker

WORKERS = Path(__file__).parent / "workers"
HOW = "CIFAR-10's images; those of 64 and 224 pixels enlarged (bicubic, JPEG of quality 90)"
_LONG = 900.0  # seconds: the first time, they are downloaded


@dataclass(frozen=True)
class Pictures:
    """Makes sets below `folder`."""

    folder: Path
    worker: Worker

    def set(self, count: int, size: int = 32, train: bool = True) -> Path:
        """An ImageDirectory of so many images, `size` pixels high and wide."""
        root = self.folder / f"{'train' if train else 'test'}-{size}-{count}"
        if not root.exists():
            self.worker.ask(_LONG, what="images", root=str(root), count=count, size=size, train=train)
        return root

    def order(self, count: int, batch: int, epochs: int = 1) -> Path:
        """A file with the order in which ours takes that many images, an epoch after the other."""
        path = self.folder / f"order-{count}-{batch}-{epochs}.json"
        self.worker.ask(what="order", path=str(path), count=count, batch=batch, epochs=epochs)
        return path


@contextmanager
def made(bench: Bench) -> Iterator[Pictures]:
    """CIFAR-10 comes from TOOLKIT_DATA, else from data/, and is fetched where it is not there."""
    bench.say("images")
    data = os.environ.get("TOOLKIT_DATA") or str(REPOSITORY / "data")
    more = {"TOOLKIT_DATA": str(Path(data).absolute()), "PYTHONPATH": str(REPOSITORY / "src")}
    folder = bench.folder("images")
    script = WORKERS / "make_images.py"
    with Worker(sys.executable, script, bench.scratch / "worker-images", environment=more) as worker:
        yield Pictures(folder, worker)
