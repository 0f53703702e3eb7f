"""Files between here and a host: by rsync, over the connection that there is."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from toolkit.inscript.files import read_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.targets.ssh.errors import HostRefused, HostUnreachable

if TYPE_CHECKING:
    from toolkit.targets.ssh.host import Host

_PERCENT = re.compile(rb"\s(\d{1,3})%")
_VANISHED = 24  # files that were there when rsync began and are not any more: caches, say
_FETCHED = ("work/", "artifacts/", "data/outputs/", "children/", "requests/")
_USUAL = ("work/outputs/", "work/logs/")  # come back anyway


def also_wanted(run: RunDirectory) -> list[str]:
    """Paths below the run directory, beside the usual ones, that come back when the run has ended: named outputs."""
    outputs = ((read_json(run.definition, {}).get("data") or {}).get("outputs") or {}).values()
    named = [os.path.normpath(os.path.join("work", entry["source"])) for entry in outputs if entry.get("source")]
    return sorted({name for name in named if name.startswith("work/") and not name.startswith(_USUAL)})


def fetch(host: Host, root: str, names: Sequence[str], here: RunDirectory) -> None:
    """Fetch files of a run by their paths below its folder; what is here already is not sent again.

    Raises:
        HostUnreachable, HostRefused: it did not work.
    """
    for name in names:
        if os.path.isabs(name) or os.path.normpath(name) != name or not name.startswith(_FETCHED):
            raise HostRefused(f"'{host.address.host}' names a file that is not of the run {here.id}: {name!r}")
    arguments = ["-tL", "--relative", "--keep-dirlinks", "--partial-dir=.rsync-part", "--from0", "--files-from=-"]
    given = b"".join(os.fsencode(name) + b"\0" for name in names)
    _rsync(host, [*arguments, _there(host, root), here.root + "/"], given)


def send_folder(
    host: Host,
    source: str,
    folder: str,
    progress: Callable[[int], None] = lambda percent: None,
    options: Sequence[str] = (),
) -> None:
    """Send what is in the folder `source` into `folder` on the host; `progress` is told the percentage.

    Raises:
        HostUnreachable, HostRefused: it did not work.
    """
    arguments = ["-rlptH", "--delete", "--partial-dir=.rsync-part", *options]
    _rsync(host, [*arguments, source.rstrip("/") + "/", _there(host, folder)], b"", progress)


def send_file(host: Host, source: str, folder: str) -> None:
    """Send one file into a folder on the host."""
    _rsync(host, ["-tL", source, _there(host, folder)], b"")


def send_files(host: Host, source: str, names: Sequence[str], folder: str, progress: Callable[[int], None]) -> None:
    """Send files by their paths below `source` into `folder` on the host."""
    given = b"".join(os.fsencode(name) + b"\0" for name in names)
    _rsync(host, ["-pt", "--from0", "--files-from=-", source, _there(host, folder)], given, progress)


def bring_folder(host: Host, source: str, folder: str) -> None:
    """Send the folder `source` itself, where it is there, to be in `folder` on the host."""
    if os.path.isdir(source):
        _rsync(host, ["-rlt", source, _there(host, folder)], b"")


def _there(host: Host, folder: str) -> str:
    return f"there:{folder}/"


def _rsync(
    host: Host, arguments: Sequence[str], given: bytes, progress: Callable[[int], None] = lambda percent: None
) -> None:
    socket = host.connection().socket
    # Through the connection that there is, or not at all: "there" is no host that could be connected to.
    shell = ["ssh", "-F", "/dev/null", "-S", socket, "-o", "ControlMaster=no", "-o", "ProxyCommand=false"]
    command = [
        "rsync",
        "--secluded-args",
        "--info=progress2",
        "--no-inc-recursive",
        "-e",
        shlex.join(shell),
        *arguments,
    ]
    with tempfile.TemporaryFile() as said:  # a pipe that nobody reads meanwhile could fill up
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, env=_plain_environment()
            )
        except FileNotFoundError:
            raise HostRefused("rsync is not on this machine, and files go to hosts by it: install rsync") from None
        with process:
            _feed(process, given, progress)
        said.seek(0)
        words = said.read().decode("utf-8", "replace")
    if process.returncode not in (0, _VANISHED):
        raise _error(host, process.returncode, words)


def _feed(process: subprocess.Popen[bytes], given: bytes, progress: Callable[[int], None]) -> None:
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(given)
        process.stdin.close()
    except OSError:
        pass  # it says why
    while piece := os.read(process.stdout.fileno(), 4096):
        said = _PERCENT.findall(b" " + piece)
        if said:
            progress(int(said[-1]))


def _plain_environment() -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("RSYNC_")}, "LC_ALL": "C"}


def _error(host: Host, code: int, words: str) -> HostUnreachable | HostRefused:
    name = host.address.host
    said = next((line.strip() for line in words.splitlines() if line.strip()), f"rsync ended with code {code}")
    if "No space left" in words or "quota exceeded" in words.lower():
        return host.refusal(next(line for line in words.splitlines() if "space" in line or "quota" in line.lower()))
    if "rsync: command not found" in words or "rsync: not found" in words or "rsync: No such file" in words:
        return HostRefused(f"'{name}' has no rsync, by which environments and sources are sent: install rsync there")
    if "is your shell clean" in words:
        return HostRefused(
            f"rsync cannot work with '{name}', since its login scripts print something: let them be quiet where there "
            f"is no terminal. rsync said: {said}"
        )
    if "Permission denied" in words or "Read-only file system" in words:
        return host.refusal(said)
    return HostUnreachable(f"sending to '{name}' broke off: {said}")
