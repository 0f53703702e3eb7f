"""One connection to a host: an ssh process that others share, and the host process at its other end."""

from __future__ import annotations

import base64
import io
import json
import os
import shlex
import shutil
import subprocess
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import psutil

from toolkit.inscript.host.server import MARK
from toolkit.targets.mount import inscript_folder
from toolkit.targets.ssh.errors import HostRefused, HostUnreachable, explain

CONNECT_SECONDS = 10
ALIVE_SECONDS, ALIVE_COUNT = 5, 4  # a connection that says nothing for 20 s is given up
_FOLDER = "toolkit-ssh-"
_NOISE_BYTES = 1 << 20  # what login scripts may print before the host process does

# Read by the host's Python from its standard input, so that no shell there has to understand more than one word. The
# beginning says which `folder` is meant; the rest takes the in-script side from there where it is, else from us.
_BEGIN = """
import base64, io, json, os, sys, zipfile
if sys.version_info < (3, 6):
    sys.exit("SyntaxError: Python 3.6 or later is needed, and this is %d.%d" % sys.version_info[:2])
asked = json.loads(sys.stdin.buffer.readline().decode("ascii"))
base = os.path.join("~", ".local", "share")
folder = asked["folder"] or os.environ.get("TOOLKIT_HOME")
folder = folder or os.path.join(os.environ.get("XDG_DATA_HOME") or base, "toolkit")
folder = os.path.abspath(os.path.expanduser(folder))
"""
_BOOT = """
place = os.path.join(folder, "inscript", asked["inscript"])
try:
    if not os.path.isdir(place):
        sys.stdout.write("\\n%s%s\\n" % (asked["mark"], json.dumps({"need": "inscript"})))
        sys.stdout.flush()
        packed = io.BytesIO(base64.b64decode(sys.stdin.buffer.readline()))
        staging = "%s.%d.tmp" % (place, os.getpid())
        os.makedirs(folder, 0o700, exist_ok=True)
        zipfile.ZipFile(packed).extractall(staging)
        try:
            os.rename(staging, place)
        except OSError:
            if not os.path.isdir(place):
                raise
    os.makedirs(os.path.join(folder, "workspaces", asked["workspace"]), 0o700, exist_ok=True)
except OSError as error:
    said = "%s: %s" % (error.strerror, error.filename or folder)
    sys.stdout.write("\\n%s%s\\n" % (asked["mark"], json.dumps({"refused": said, "errno": error.errno})))
    sys.exit(0)
sys.dont_write_bytecode = True
package = type(sys)("toolkit")
package.__path__ = [os.path.join(place, "toolkit")]
sys.modules["toolkit"] = package
from toolkit.inscript.host.server import main
main(folder, asked["workspace"], place)
"""


@dataclass(frozen=True)
class Address:
    """How a host is reached.

    Attributes:
        host: as ssh takes it, "user@host" or a name of its configuration.
        port: 0 for ssh's own.
        key_file, ssh_config: paths on this machine, or "".
        folder: the toolkit's folder there; "" for its default.
        python: the interpreter there that starts runs.
    """

    host: str
    port: int = 0
    key_file: str = ""
    ssh_config: str = ""
    folder: str = ""
    python: str = "python3"

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Address:
        """The address that the settings of a compute target name."""
        key_file, config = (
            str(Path(settings[key]).expanduser()) if settings.get(key) else "" for key in ("key_file", "ssh_config")
        )
        return cls(
            host=str(settings["host"]),
            port=int(settings.get("port", 0)),
            key_file=key_file,
            ssh_config=config,
            folder=str(settings.get("folder", "")),
            python=str(settings.get("python") or "python3"),
        )

    def command(self, socket: str) -> list[str]:
        """The ssh command line of a connection that others share by `socket`, up to what is to be started there."""
        options = {
            "BatchMode": "yes",  # no question is ever asked: there is nobody to answer
            "ConnectTimeout": CONNECT_SECONDS,
            "ServerAliveInterval": ALIVE_SECONDS,
            "ServerAliveCountMax": ALIVE_COUNT,
            "ControlMaster": "yes",
            "ControlPersist": "no",
            "ControlPath": socket,
            "RequestTTY": "no",
            "RemoteCommand": "none",
            "ForwardX11": "no",
            "ForwardAgent": "no",
            "ClearAllForwardings": "yes",
            "LogLevel": "ERROR",
        }
        command = ["ssh", "-T", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
        if self.ssh_config:
            command += ["-F", self.ssh_config]
        if self.key_file:
            command += ["-i", self.key_file, "-o", "IdentitiesOnly=yes"]
        if self.port:
            command += ["-p", str(self.port)]
        return [*command, "--", self.host]

    def by_hand(self, program: str) -> str:
        """What a person types to reach it, up to what is to be started there: ssh and ssh-copy-id take the same."""
        options = [("-p", str(self.port or "")), ("-F", self.ssh_config), ("-i", self.key_file)]
        return shlex.join([program, *(word for name, value in options if value for word in (name, value)), self.host])


class Connection:
    """Speaks with the host process. `hello` is what it said first.

    Raises:
        HostUnreachable: the host does not answer.
        HostRefused: it cannot be used as it is.
    """

    def __init__(self, address: Address, workspace: str) -> None:
        self.address = address
        _remove_leftovers()
        # Only this user's, and a short path: sockets need one.
        self._folder = tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-")
        self.socket = os.path.join(self._folder, "s")
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the connection; a pipe could fill up
        self._noise = bytearray()  # what came before the host process said something
        self._sending = threading.Lock()
        try:
            self._process = subprocess.Popen(
                [*address.command(self.socket), remote(address.python)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._words,
                start_new_session=True,  # Ctrl-C is not for it
            )
        except OSError as error:
            self._tidy()
            raise explain(address, f"ssh cannot be started: {error}", None) from error
        self._lines = self._read()
        try:
            self.hello = self._greet(workspace)
        except BaseException:
            self.close()
            raise

    @cached_property
    def _input(self) -> Any:
        return self._process.stdin

    def _greet(self, workspace: str) -> dict[str, Any]:
        folder = inscript_folder()
        asked = {
            "mark": MARK.decode(),
            "inscript": folder.name,
            "folder": self.address.folder,
            "workspace": workspace,
        }
        try:
            self._input.write(as_input(_BOOT, asked))
            self._input.flush()
        except OSError:
            raise self.why_it_ended() from None
        self._skip_noise()
        message = next(self._lines, None)
        if message is not None and message.get("need"):
            self._write(_packed(folder) + b"\n")
            self._skip_noise()
            message = next(self._lines, None)
        if message is None:
            raise self.why_it_ended()
        if "refused" in message:
            raise refusal(self.address.host, str(message["refused"]))
        hello: dict[str, Any] = message["hello"]
        return hello

    def _read(self) -> Iterator[dict[str, Any]]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip():
                yield json.loads(line)

    def _skip_noise(self) -> None:
        """Read up to the mark: login scripts may print something before it."""
        assert self._process.stdout is not None
        noise = self._noise = bytearray()
        while not noise.endswith(MARK):
            byte = self._process.stdout.read(1)
            if not byte or len(noise) > _NOISE_BYTES:
                return
            noise += byte
        noise.clear()

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the host process says, until the connection ends."""
        return self._lines

    def send(self, message: dict[str, Any]) -> None:
        """Raises HostUnreachable where the connection has ended."""
        self._write(json.dumps(message).encode("ascii") + b"\n")

    def _write(self, content: bytes) -> None:
        with self._sending:
            try:
                self._input.write(content)
                self._input.flush()
            except (OSError, ValueError):
                raise HostUnreachable(f"the connection to '{self.address.host}' was cut") from None

    def why_it_ended(self) -> Exception:
        """What ssh said, as an error."""
        try:
            code: int | None = self._process.wait(CONNECT_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        self._words.seek(0)
        words = self._words.read().decode("utf-8", "replace")
        if code is not None and self._process.stdout is not None:
            self._noise += self._process.stdout.read(_NOISE_BYTES)  # where it ended before we read
        return explain(self.address, words, code, self._noise.decode("utf-8", "replace"))

    def close(self) -> None:
        """End the connection; what was started on the host goes on."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    pass
        self._process.kill()
        self._process.wait()
        self._tidy()

    def _tidy(self) -> None:
        self._words.close()
        for path in (self.socket,):
            if os.path.exists(path):
                os.unlink(path)
        if os.path.isdir(self._folder):
            os.rmdir(self._folder)


def _remove_leftovers() -> None:
    """Remove the folders of processes that were ended before they could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        owner = folder.name[len(_FOLDER) :].partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)  # those of other users stay


def refusal(host: str, words: str) -> Exception:
    """The error of a host that says of itself what it lacks."""
    full = "No space left" in words or "quota" in words
    advice = "free some space there" if full else "mend that"
    return HostRefused(f"'{host}' cannot take runs: {words}. To go on: {advice}, or name another `folder`")


def _remote_python(python: str) -> str:
    """An interpreter as a shell on the host takes it: `~/` is for that shell to expand."""
    return f"~/{shlex.quote(python[2:])}" if python.startswith("~/") else shlex.quote(python)


def remote(python: str) -> str:
    """What the user's shell on the host is given: the interpreter reads its program from us."""
    return f"exec {_remote_python(python)} -I -S -c 'import sys; exec(sys.stdin.buffer.readline())'"


def as_input(program: str, asked: dict[str, Any]) -> bytes:
    """A program as `remote` reads it, and what it is asked; it finds `folder`."""
    return f"exec({_BEGIN + program!r})\n".encode("ascii") + json.dumps(asked).encode("ascii") + b"\n"


@lru_cache(maxsize=2)
def _packed(folder: Path) -> bytes:
    """The in-script side as one line: a zip file in base64."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*.py")):
            archive.writestr(zipfile.ZipInfo(str(path.relative_to(folder))), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return base64.b64encode(packed.getvalue())
