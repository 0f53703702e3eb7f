"""Our side: the process that builds an environment's image, as the agent starts it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.images import disk
from benchmarks.images.engine import Engine
from benchmarks.surroundings import variables
from benchmarks.workers import WorkerError

_SENT = re.compile(r"^sending ([\d.]+) MB in \d+ layers", re.MULTILINE)
_DOWNLOADED = ("packages", "channels")  # of the toolkit's cache; wheels are in uv's
_RESOLVE = """
import json, sys
from toolkit import Environment
from toolkit.environments.request import ImageDefaults, Request
kind, file, base, engine, source = sys.argv[1:]
make = Environment.from_conda_specification if kind == "conda" else Environment.from_pip_requirements
document = make("benchmark", file).resolve(source, ImageDefaults(base))
print(json.dumps(Request.from_dict({**document, "engine": engine}).to_dict()))
"""
_LOOK = """
import json, sys, time
from toolkit.images import image as images
from toolkit.environments.request import Request
request = Request.from_dict(json.load(open(sys.argv[1])))
began = time.perf_counter()
assert images.find(request) is not None, "the image is not there"
print(time.perf_counter() - began)
"""


@dataclass
class Ours:
    """The toolkit with a home and download caches of its own.

    Attributes:
        index: the address of the package index.
        base: the base image.
        channel: the address of the conda channel; "" for packages of pip alone, on the base's Python.
        phases: seconds of the last build, by phase.
        sent: megabytes of layers that the last build sent to the engine.
    """

    engine: Engine
    folder: Path
    index: str
    base: str
    channel: str = ""
    phases: dict[str, float] = field(default_factory=dict)
    sent: float = 0.0
    image: str = ""
    python: str = ""
    _requests: dict[tuple[str, ...], Path] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of our processes: packages come from the index that the peers have too."""
        return variables(
            sys.executable, TOOLKIT_HOME=str(self.folder / "home"), UV_CACHE_DIR=str(self.folder / "uv"),
            PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL=f"{self.index}/simple", PIP_EXTRA_INDEX_URL="", PIP_FIND_LINKS="",
        )  # fmt: skip

    def specification(self, requirements: Sequence[str]) -> Path:
        """The file that a user would write."""
        from benchmarks.images.dockerfiles import conda_file

        self.folder.mkdir(parents=True, exist_ok=True)
        if self.channel:
            file = self.folder / "environment.yml"
            file.write_text(conda_file(requirements, self.channel))
        else:
            file = self.folder / "requirements.txt"
            file.write_text("".join(f"{one}\n" for one in requirements))
        return file

    def build(self, requirements: Sequence[str]) -> float:
        """Seconds from the start of the process that builds to its end."""
        request = self._request(tuple(requirements))
        log = self.folder / "log.txt"
        log.unlink(missing_ok=True)
        words = ["-m", "toolkit.environments.build", "--request", str(request), "--log", str(log)]
        disk.settle()
        began = time.perf_counter()
        done = subprocess.run([sys.executable, *words], env=self.environment, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        text = log.read_text(errors="replace")
        if done.returncode != 0:
            raise WorkerError(f"ours: {' '.join((text + done.stderr).split())[-400:]}")
        key = json.loads(request.read_text())["key"]
        record = json.loads((self.folder / "home" / "environments" / "images" / f"{key}.json").read_text())
        self.phases = {**record["seconds"], "all": round(seconds, 2)}
        self.image, self.python = record["ids"][self.engine.address], record["python"]
        self.sent = sum(map(float, _SENT.findall(text)))
        return seconds

    def look(self) -> float:
        """Seconds for what a submit does where the image is there, in a new process."""
        request = self.folder / "request-0.json"
        done = subprocess.run([sys.executable, "-c", _LOOK, str(request)], env=self.environment, capture_output=True)
        if done.returncode != 0:
            raise WorkerError(f"ours: {' '.join(done.stderr.decode().split())[-400:]}")
        return float(done.stdout)

    def _request(self, requirements: tuple[str, ...]) -> Path:
        if requirements not in self._requests:
            file = self.specification(requirements)
            kind, source = ("conda", "conda") if self.channel else ("pip", "pypi")
            command = [sys.executable, "-c", _RESOLVE, kind, str(file), self.base, self.engine.address, source]
            done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
            if done.returncode != 0:
                raise WorkerError(f"ours: {' '.join(done.stderr.split())[-400:]}")
            path = self.folder / f"request-{len(self._requests)}.json"
            path.write_text(done.stdout)
            self._requests[requirements] = path
        return self._requests[requirements]

    def forget(self) -> None:
        """Remove the images and all that was made of the packages; what was downloaded stays, and what is known of
        the base image, which the engine has on all sides."""
        self.engine.forget_ours(self.base)
        environments = self.folder / "home" / "environments"
        for folder in (environments, environments / "cache"):
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.is_dir() and path.name not in ("cache", "bases", *_DOWNLOADED):
                    shutil.rmtree(path)

    @property
    def said(self) -> str:
        """The phases of the last build, for a note."""
        return ", ".join(f"{phase} {value:.1f}" for phase, value in self.phases.items()) + " s"
