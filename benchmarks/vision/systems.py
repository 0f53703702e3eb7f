"""Who trains: ours, a plain torchvision loop, Lightning and timm, each a worker that trains an epoch when it is asked.

A request names the images (an ImageDirectory whose `image/` has class folders), a file with the order of the images,
the batch, the size in pixels, the network and the device; the answer has the images a second.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.peers import Peers, PeerUnavailable
from benchmarks.surroundings import variables
from benchmarks.workers import Worker, start_all

WORKERS = Path(__file__).parent / "workers"
NO_GPU = "not measured: no GPU on this machine"
_SAME = ("torch", "torchvision", "pillow", "numpy")  # all use the versions that ours uses


@dataclass(frozen=True)
class System:
    """One that trains.

    Attributes:
        script: its worker.
        package: what is installed for it; "" for ours.
    """

    label: str
    script: str
    package: str = ""

    def python(self, peers: Peers) -> str:
        """Its interpreter. PeerUnavailable where it cannot be installed."""
        if not self.package:
            return sys.executable
        pinned = {name: f"{name}=={importlib.metadata.version(name)}" for name in _SAME}
        first = pinned.pop(self.package, self.package)
        return peers.python(self.package, first, *pinned.values())

    def worker(self, bench: Bench) -> Worker:
        folder = bench.scratch / f"worker-{self.script}"
        return Worker(self.python(bench.peers), WORKERS / f"{self.script}.py", folder)


OURS = System("ours", "train_toolkit")
PLAIN = System("plain torchvision loop", "train_plain", "torchvision")
LIGHTNING = System("Lightning", "train_lightning", "lightning")
TIMM = System("timm", "train_timm", "timm")
PEERS = (PLAIN, LIGHTNING, TIMM)


@contextmanager
def running(bench: Bench, systems: Sequence[System], missing: dict[str, str]) -> Iterator[dict[str, Worker]]:
    """The workers by label; of one that is not there, `missing` has the reason."""
    workers = {}
    for system in systems:
        try:
            workers[system.label] = system.worker(bench)
        except PeerUnavailable as reason:
            missing[system.label] = str(reason)
    with ExitStack() as stack:
        bench.say("starting the workers")
        yield start_all(stack, workers, missing)


def has_gpu() -> bool:
    """Whether ours would train on a GPU."""
    program = "import torch; print(torch.cuda.is_available())"
    command = [sys.executable, "-c", program]
    answer = subprocess.run(command, env=variables(sys.executable), capture_output=True, text=True, check=True)
    return answer.stdout.strip() == "True"
