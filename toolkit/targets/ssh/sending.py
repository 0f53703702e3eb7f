"""What of a run is not on its host yet, sent by content: sources, environment, interpreter, inputs."""

from __future__ import annotations

import base64
import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.environments import store
from toolkit.inscript import workcopy
from toolkit.inscript.files import read_json
from toolkit.targets.ssh import transfer
from toolkit.targets.ssh.errors import HostRefused
from toolkit.targets.ssh.planning import Input

if TYPE_CHECKING:
    from toolkit.targets.ssh.host import Host

SMALL_BYTES, FEW = 4 << 20, 200  # sources up to here go as messages: quicker than an rsync of their own
_PIECE_BYTES = 1 << 18
_BUSY_SECONDS = 1.0
_GLIBC_OF_TAG = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
Tell = Callable[[str], None]


def send(host: Host, missing: dict[str, Any], snapshots: Path, inputs: list[Input], tell: Tell) -> None:
    """Send what the host says is missing.

    Args:
        missing: "snapshot", "prefix" and "inputs", as far as they are.
        tell: is told what is being done, in a few words.

    Raises:
        HostUnreachable, HostRefused: it did not work.
    """
    if "snapshot" in missing:
        _send_snapshot(host, str(missing["snapshot"]), snapshots, tell)
    if "prefix" in missing:
        _send_prefix(host, str(missing["prefix"]), tell)
    for one in inputs:
        if one.key in missing.get("inputs", ()):
            _send_input(host, one, tell)


def _send_snapshot(host: Host, snapshot: str, snapshots: Path, tell: Tell) -> None:
    entries = workcopy.entries(str(snapshots), snapshot)
    sizes = {str(entry["sha256"]): int(str(entry["size"])) for entry in entries if "sha256" in entry}
    text = Path(workcopy.manifest_path(str(snapshots), snapshot)).read_text(encoding="ascii")
    asked = {"snapshot": snapshot, "text": text, "sizes": sizes}
    answer = host.ask("manifest", **asked)
    wanted = [str(name) for name in answer["blobs"]]
    if not wanted:
        return
    tell(f"sending the sources to '{host.address.host}'")
    if len(wanted) <= FEW and sum(sizes[name] for name in wanted) <= SMALL_BYTES:
        for name in wanted:
            _send_blob(host, name, workcopy.blob_path(str(snapshots), name))
    else:
        names = [f"{name[:2]}/{name[2:]}" for name in wanted]
        folder = f"{answer['folder']}/blobs"
        progress = _progress(tell, f"sending the sources to '{host.address.host}'")
        transfer.send_files(host, f"{snapshots}/blobs", names, folder, progress)
    left = host.ask("manifest", **asked)["blobs"]
    if left:
        raise HostRefused(
            f"{len(left)} files of the sources did not arrive on '{host.address.host}' whole: submit again"
        )


def _send_blob(host: Host, sha256: str, path: str) -> None:
    content = Path(path).read_bytes()
    for at in range(0, max(1, len(content)), _PIECE_BYTES):
        piece = base64.b64encode(content[at : at + _PIECE_BYTES]).decode("ascii")
        host.ask("blob", sha256=sha256, at=at, of=len(content), base64=piece)


def _send_prefix(host: Host, lock_hash: str, tell: Tell) -> None:
    prefix = store.prefix_of(lock_hash)
    if prefix is None:
        raise HostRefused(f"the environment {lock_hash[:12]} was removed from this machine: submit again")
    _check_machine(host, prefix.root)
    version = _version_of(prefix.python)
    folder = _claim(host, "prefix", lock_hash, tell)
    if folder is None:
        return
    what = f"sending the environment to '{host.address.host}'"
    try:
        tell(what)
        transfer.send_folder(host, prefix.root, folder, _progress(tell, what))
        asked = {"key": lock_hash, "kind": prefix.kind, "root": prefix.root, "version": version}
        tell(f"making the environment work on '{host.address.host}'")
        answer = host.ask("prefix", **asked)
        if "no_python" in answer:
            _send_python(host, prefix.python, version, tell)
            answer = host.ask("prefix", **asked)
        if "no_python" in answer:
            raise HostRefused(
                f"'{host.address.host}' has no Python {version}, on which the environment stands, and that of this "
                "machine does not run there. Install one of that version there, or ask for a conda environment, which "
                "brings its own"
            )
    except BaseException:
        host.tell("finish", kind="prefix", key=lock_hash, failed=True)
        raise


def _send_python(host: Host, python: str, version: str, tell: Tell) -> None:
    """Send the interpreter that a venv here stands on, without the packages that others installed into it."""
    base = Path(os.path.realpath(python)).parent.parent
    minor = ".".join(version.split(".")[:2])
    key = f"{version}-{host.facts.machine if host.facts else ''}"
    folder = _claim(host, "python", key, tell)
    if folder is None:
        return
    tell(f"sending Python {version} to '{host.address.host}', which has none")
    kept = ("/bin/", f"/bin/python{minor}", "/lib/", f"/lib/python{minor}/***", f"/lib/libpython{minor}*", "/lib/*/")
    left = (f"/lib/python{minor}/{name}/" for name in ("site-packages", "dist-packages", "test"))
    options = [f"--exclude={name}" for name in (*left, "__pycache__")]
    options += [f"--include={name}" for name in (*kept, f"/lib/*/libpython{minor}*")]
    try:
        transfer.send_folder(host, str(base), folder, options=[*options, "--exclude=*", "--prune-empty-dirs"])
        host.ask("python", key=key, root=str(base), version=version)
    except BaseException:
        host.tell("finish", kind="python", key=key, failed=True)
        raise


def _send_input(host: Host, one: Input, tell: Tell) -> None:
    if not os.path.exists(one.path):
        raise HostRefused(f"the input '{one.path}' is not on this machine any more")
    signature = one.signature
    is_folder = os.path.isdir(one.path)
    folder = _claim(host, "input", one.key, tell, one.path if is_folder else os.path.dirname(one.path))
    if folder is None:
        return
    what = f"sending the input '{one.path}' to '{host.address.host}'"
    tell(what)
    try:
        if is_folder:
            transfer.send_folder(host, one.path, folder, _progress(tell, what), ["-L"])
        else:
            transfer.send_file(host, one.path, folder)
        host.ask("finish", kind="input", key=one.key, signature=signature)
    except BaseException:
        host.tell("finish", kind="input", key=one.key, failed=True)
        raise


def _claim(host: Host, kind: str, key: str, tell: Tell, below: str = "") -> str | None:
    """The folder there to send a content to, or one `below` it; None where somebody else has sent it meanwhile."""
    waited = False
    while True:
        answer = host.ask("claim", kind=kind, key=key, below=below)
        if "busy" not in answer:
            if waited:  # whoever had it may be done: the host is asked anew what is missing
                host.tell("finish", kind=kind, key=key, failed=True)
                return None
            return str(answer["folder"])
        waited = True
        tell(f"the same is being sent to '{host.address.host}' for another run: waiting for that")
        time.sleep(_BUSY_SECONDS)


def _progress(tell: Tell, what: str) -> Callable[[int], None]:
    return lambda percent: tell(f"{what}, {percent} %")


def _version_of(python: str) -> str:
    """The version of a prefix's Python, as in "3.11.7"."""
    root = Path(python).parent.parent
    try:
        text = (root / "pyvenv.cfg").read_text(encoding="utf-8")
        found = re.search(r"^version(?:_info)?\s*=\s*([\d.]+)", text, re.MULTILINE)
        return found[1] if found else ""
    except OSError:
        record = next(iter(sorted(root.glob("conda-meta/python-[0-9]*.json"))), None)
        return str(read_json(str(record))["version"]) if record else ""


def _check_machine(host: Host, root: str) -> None:
    """Refuse to send what cannot run there.

    Raises:
        HostRefused: another architecture, or too old a C library.
    """
    facts = host.facts
    if facts is None:
        return
    here = (platform.system(), platform.machine())
    if (facts.system, facts.machine) != here:
        raise HostRefused(
            f"'{host.address.host}' is a {facts.system} machine of the kind {facts.machine}, and this one, which built "
            f"the environment, is {here[0]} {here[1]}: its packages do not run there. Submit from such a machine, or "
            "use an interpreter of the host with user_managed_dependencies"
        )
    needed = _glibc_needed(root)
    there = tuple(int(part) for part in facts.glibc.split(".")[:2]) if facts.glibc else ()
    if there and needed > there:
        raise HostRefused(
            f"the packages of the environment need glibc {needed[0]}.{needed[1]} or later, and '{host.address.host}' "
            f"has {facts.glibc}: pin older versions of them, or use an interpreter of the host with "
            "user_managed_dependencies"
        )


def _glibc_needed(root: str) -> tuple[int, int]:
    """The glibc that the wheels in a prefix were built for, by their tags."""
    needed = (0, 0)
    for path in Path(root).glob("lib/python*/site-packages/*.dist-info/WHEEL"):
        tags = re.findall(r"^Tag: \S+-(\S+)$", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        versions = [version for tag in tags for version in _versions(tag)]
        if versions:
            needed = max(needed, min(versions))
    return needed


def _versions(tag: str) -> list[tuple[int, int]]:
    exact = [(int(major), int(minor)) for major, minor in re.findall(r"manylinux_(\d+)_(\d+)", tag)]
    return exact + [version for name, version in _GLIBC_OF_TAG.items() if f"{name}_" in tag]
