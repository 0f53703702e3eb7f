"""A Ray cluster of one node on loopback, from an environment that only the tests have."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.rig import cache
from toolkit.environments import uv

REQUIREMENT = "ray[default]>=2.40"
START_SECONDS = 120
OBJECT_STORE_BYTES = 80_000_000


@dataclass(frozen=True)
class RayCluster:
    """A cluster that runs.

    Attributes:
        address: of its dashboard.
        process: the pid of the process that holds it; all others are below it.
        folder: its files.
    """

    address: str
    process: int
    folder: Path


def executable() -> Path:
    """Ray's command line, installed once into the cache.

    Raises:
        RuntimeError: it cannot be installed.
    """
    with cache.locked("ray") as folder:
        made = folder / "bin" / "ray"
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            for command in (
                ["venv", "--seed", "--python", sys.executable, str(folder)],
                ["pip", "install", "--python", str(folder / "bin" / "python"), REQUIREMENT],
            ):
                done = subprocess.run(
                    [uv.executable(), *command], env=uv.environment(), capture_output=True, text=True
                )  # fmt: skip
                if done.returncode != 0:
                    raise RuntimeError(f"uv {command[0]} failed: {done.stderr}")
        return made


@contextmanager
def serve(cpus: int = 4, **variables: str) -> Iterator[RayCluster]:
    """A cluster with so many CPUs to give, whatever the machine has; ended by the pids that it started.

    Args:
        variables: more variables of its processes.
    """
    ray = executable()
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # its sockets have short paths
    dashboard, *others = _ports(5)
    command = [
        str(ray), "start", "--head", "--block", "--disable-usage-stats", "--dashboard-host=127.0.0.1",
        "--node-ip-address=127.0.0.1", f"--dashboard-port={dashboard}", f"--port={others[0]}",
        f"--dashboard-agent-listen-port={others[1]}", f"--ray-client-server-port={others[2]}",
        f"--dashboard-agent-grpc-port={others[3]}", "--min-worker-port=0", "--max-worker-port=0",
        f"--num-cpus={cpus}", f"--object-store-memory={OBJECT_STORE_BYTES}", f"--temp-dir={folder}",
    ]  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TOOLKIT_", "AZUREML_"))}
    with (folder / "start.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env={**kept, **variables}
        )
    address = f"http://127.0.0.1:{dashboard}"
    try:
        _wait(address, process, folder / "start.log")
        yield RayCluster(address, process.pid, folder)
    finally:
        end(process.pid)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    found = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return found


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the cluster takes jobs."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{address}/api/jobs/", timeout=5) as answer:
                json.load(answer)
                return
        except (OSError, ValueError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no Ray cluster came up: {error}; it said: {log.read_text()[-2000:]}") from error
            time.sleep(0.1)


def end(pid: int) -> None:
    """End a process and all below it, at once."""
    try:
        above = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return
    for one in [above, *above.children(recursive=True)]:
        try:
            os.kill(one.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
