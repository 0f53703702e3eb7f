"""A real sshd on loopback, with keys, a port and a toolkit's folder of its own; it ends with all that it started."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

SSHD = "/usr/sbin/sshd"
NAME = "rig-host"


@dataclass(frozen=True)
class Host:
    """A host that ssh reaches.

    Attributes:
        folder: the files of the rig.
        home: what TOOLKIT_HOME is there.
        config: a configuration of ssh that knows the host as `NAME`.
        process: the sshd.
    """

    folder: Path
    home: Path
    config: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def programs(self) -> Path:
        """A folder that comes first on the PATH of sessions: for stand-ins."""
        return self.folder / "programs"

    @property
    def settings(self) -> str:
        """What the configuration of a workspace says of it."""
        return f"type: ssh, host: {NAME}, ssh_config: {self.config}"

    def command(self, *words: str) -> list[str]:
        return ["ssh", "-F", str(self.config), NAME, shlex.join(words)]

    def sessions(self) -> list[psutil.Process]:
        """The processes of sshd for connections that are open."""
        return [one for one in psutil.Process(self.process.pid).children(recursive=True) if one.name() == "sshd"]


def why_not() -> str:
    """Why there cannot be one on this machine; "" where it can."""
    missing = [name for name in ("ssh", "ssh-keygen", "rsync") if shutil.which(name) is None]
    return ", ".join(missing + ([] if os.path.exists(SSHD) else ["sshd (openssh-server)"]))


@contextmanager
def serve(folder: Path, around: Sequence[str] = (), python: str = "") -> Iterator[Host]:
    """A host with its files in `folder`. 0.1 s to start.

    Args:
        around: a command that sshd is started by, as in ["unshare", "-m", …].
        python: what `python3` is in sessions; "" for the machine's own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("host_key", "user_key", "other_key"):
        if not (folder / name).exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
    (folder / "programs").mkdir(exist_ok=True)
    if python and not (folder / "programs" / "python3").exists():
        (folder / "programs" / "python3").symlink_to(python)
    home = folder / "home"
    port = _free_port()
    _write(folder, port, home)
    log = folder / "sshd.log"
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd as root asks for it
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*around, SSHD, "-D", "-e", "-f", folder / "sshd_config"],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    host = Host(folder, home, folder / "ssh_config", port, process)
    try:
        _wait(host, log)
        yield host
    finally:
        end(host)


def end(host: Host) -> None:
    """End the sshd and its connections."""
    try:
        family = [*psutil.Process(host.process.pid).children(recursive=True), psutil.Process(host.process.pid)]
    except psutil.NoSuchProcess:
        family = []
    for one in family:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    host.process.wait()


def _write(folder: Path, port: int, home: Path) -> None:
    path = f"{folder / 'programs'}:/usr/local/bin:/usr/bin:/bin"
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host_key'}\nPidFile none\n"
        f"AuthorizedKeysFile {folder / 'authorized_keys'}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxSessions 100\nMaxStartups 100:30:200\n"
        f"SetEnv HOME={folder} TOOLKIT_HOME={home} PATH={path}\n"
    )
    key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}\n")
    (folder / "ssh_config").write_text(
        f"Host {NAME}\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n"
        f" IdentityFile {folder / 'user_key'}\n IdentitiesOnly yes\n UserKnownHostsFile {folder / 'known_hosts'}\n"
        " GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking yes\n"
    )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait(host: Host, log: Path) -> None:
    deadline = time.monotonic() + 30
    while host.process.poll() is None and time.monotonic() < deadline:
        if subprocess.run(host.command("true"), capture_output=True).returncode == 0:
            return
        time.sleep(0.05)
    raise RuntimeError(f"sshd does not answer: {log.read_text()[-2000:]}")
