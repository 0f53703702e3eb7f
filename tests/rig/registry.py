"""A registry of container images on loopback: Debian's `docker-registry`, with a storage folder of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

USERNAME, PASSWORD = "rig", "geheim"
_HASH = "$2y$05$abcdefghijklmnopqrstuuVWu8RjbNovPZWAMRdd7iqaaG0mI53Uu"  # the password's, by bcrypt


@dataclass(frozen=True)
class Registry:
    """A registry that answers.

    Attributes:
        address: as image references begin, "127.0.0.1:35001".
        storage: the folder with its blobs.
        log: the file that it writes its requests to.
        username, password: what a private one asks for; "" for an open one.
    """

    address: str
    storage: Path
    log: Path
    username: str = ""
    password: str = ""

    @property
    def requests(self) -> list[str]:
        """What it was asked so far: "GET /v2/…", in order."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line.split('"')[1].removesuffix(" HTTP/1.1") for line in lines if ' "' in line and "HTTP/1.1" in line]


def why_not() -> str:
    """Why there cannot be one on this machine; "" where it can."""
    return "" if shutil.which("docker-registry") else "Debian's docker-registry"


@contextmanager
def serve(folder: Path, private: bool = False) -> Iterator[Registry]:
    """A registry with its files in `folder`; a private one asks for `USERNAME` and `PASSWORD`. 0.1 s to start."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}, "delete": {"enabled": True}},
        "http": {"addr": address},
    }
    if private:
        (folder / "htpasswd").write_text(f"{USERNAME}:{_HASH}\n")
        settings["auth"] = {"htpasswd": {"realm": "rig", "path": str(folder / "htpasswd")}}
    configuration, log = folder / "config.yml", folder / "log.txt"
    configuration.write_text(yaml.safe_dump(settings))
    with log.open("wb") as output:
        process = subprocess.Popen(["docker-registry", "serve", configuration], stdout=output, stderr=output)
    try:
        _wait(process, address, log)
        words = (USERNAME, PASSWORD) if private else ("", "")
        yield Registry(address, folder / "storage", log, *words)
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Wait until it answers, also where that is a refusal."""
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://{address}/v2/", timeout=5).close()
            return
        except urllib.error.HTTPError as refusal:
            refusal.close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"docker-registry does not answer: {log.read_text()[-2000:]}")
