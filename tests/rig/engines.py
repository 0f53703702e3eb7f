"""Container engines of other kinds beside the machine's own, each with storage of its own, ended with its `with` block.

They are there to load images and to run containers without a network. They need root.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.rig import cache, debian
from toolkit.errors import ContainerEngineError
from toolkit.images import engine

KINDS = ("docker-current", "docker-current-containerd", "podman")
_SUITES = ("sid", "trixie")  # the newest engine first; it may want a newer glibc than this machine's


def why_not(kind: str) -> str:
    """Why an engine of this kind cannot be started on this machine; "" where it can."""
    if os.geteuid() != 0:
        return "root, to start a container engine"
    if kind == "podman":
        return "" if shutil.which("podman") else "podman"
    if not shutil.which("runc") or not shutil.which("unshare"):
        return "runc and unshare"
    return debian.why_not()


@contextmanager
def start(kind: str) -> Iterator[str]:
    """An engine of one of the `KINDS`, empty; gives its address. 0.3 s, the first time 4 s for the download."""
    # Not in a test's folder: the path of a socket has 108 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="rig-"))
    address = f"unix://{folder}/engine.sock"
    command, environment = _podman(folder, address) if kind == "podman" else _docker(folder, address, kind)
    log = folder / "log.txt"
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=environment, cwd=folder, stdout=output, stderr=output)
        try:
            _wait(process, lambda: engine.ping(address), log)
            yield address
        finally:
            process.terminate()
            process.wait(60)
            _end_rest(folder)
    finally:
        _remove(folder)


def _docker(folder: Path, address: str, kind: str) -> tuple[list[str], dict[str, str]]:
    """Debian's newest Docker Engine, with either of its image stores, and runc of this machine.

    It has a network namespace of its own: without a bridge, dockerd removes the `docker0` of the machine's engine.
    """
    programs = docker_programs()
    (folder / "daemon.json").write_text(json.dumps({"features": {"containerd-snapshotter": "containerd" in kind}}))
    command = [
        "unshare", "--net", str(programs / "usr/sbin/dockerd"), "--config-file", str(folder / "daemon.json"),
        "--host", address, "--data-root", str(folder / "data"), "--exec-root", str(folder / "run"),
        "--pidfile", str(folder / "pid"), "--bridge=none", "--iptables=false", "--ip6tables=false",
    ]  # fmt: skip
    path = os.pathsep.join([str(programs / "usr/bin"), str(programs / "usr/sbin"), os.environ["PATH"]])
    return command, {**os.environ, "PATH": path}


def docker_programs() -> Path:
    """The root folder of Debian's newest Docker Engine that runs here: usr/sbin/dockerd, usr/bin/docker, containerd.

    Raises:
        RuntimeError: none does.
    """
    said = []
    for suite in _SUITES:
        with cache.locked(f"docker-{suite}") as kept:
            if not (kept / "root").exists():
                shutil.rmtree(kept / "unfinished", ignore_errors=True)
                packages = debian.fetch(["docker.io", "docker-cli", "containerd"], suite, dependencies=False)
                debian.unpack(packages, kept / "unfinished")
                os.rename(kept / "unfinished", kept / "root")
            try:
                for program in ("usr/sbin/dockerd", "usr/bin/containerd"):
                    subprocess.run([kept / "root" / program, "--version"], check=True, capture_output=True, text=True)
                return kept / "root"
            except subprocess.CalledProcessError as error:
                said.append(f"{suite}: {error.stderr}")
    raise RuntimeError(f"no Docker Engine of Debian runs here: {'; '.join(said)}")


def _podman(folder: Path, address: str) -> tuple[list[str], dict[str, str]]:
    """This machine's Podman as a service, with nothing of the machine's own storage or configuration."""
    # Podman's own limits are over what a machine in a sandbox may set. It lowers those that it runs under itself.
    files, processes = (_at_most(which, 16384) for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
    limits = f'default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]\n'
    engine_part = '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    (folder / "containers.conf").write_text(f"{engine_part}[containers]\n{limits}")
    storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/data"\nrunroot = "{folder}/run"\n'
    (folder / "storage.conf").write_text(storage)
    (folder / "registries.conf").write_text("unqualified-search-registries = []\n")
    command = ["podman", "--tmpdir", str(folder / "tmp"), "system", "service", "--time=0", address]
    settings = {
        "CONTAINERS_CONF": "containers.conf", "CONTAINERS_STORAGE_CONF": "storage.conf",
        "CONTAINERS_REGISTRIES_CONF": "registries.conf",
    }  # fmt: skip
    return command, {**os.environ, **{name: str(folder / file) for name, file in settings.items()}}


def _at_most(which: int, limit: int) -> int:
    hard = resource.getrlimit(which)[1]
    return limit if hard == resource.RLIM_INFINITY else min(hard, limit)


def _wait(process: subprocess.Popen[bytes], ping: Callable[[], None], log: Path) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return ping()
        except ContainerEngineError:
            time.sleep(0.02)
    raise RuntimeError(f"the engine does not answer: {log.read_text(errors='replace')[-3000:]}")


def _end_rest(folder: Path) -> None:
    """Wait for what clears up after containers, and end what stays: the processes with the folder in their command."""
    rest = [one for one in psutil.process_iter(["cmdline"]) if f"{folder}/" in " ".join(one.info["cmdline"] or [])]
    _, alive = psutil.wait_procs(rest, timeout=10)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=10)


def _remove(folder: Path) -> None:
    """Remove the folder, with what an engine left mounted in it."""
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        mounted = line.split()[4]
        if mounted.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", mounted], check=True)
    shutil.rmtree(folder)
