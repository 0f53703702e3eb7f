"""What is known at submit of a run that goes to a host, and what `toolkit doctor` sees of the host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

from toolkit.errors import ComputeTargetException
from toolkit.inscript.host.server import MARK
from toolkit.targets.elsewhere import check_stores
from toolkit.targets.ssh.connection import CONNECT_SECONDS, Address, as_input, refusal, remote
from toolkit.targets.ssh.errors import explain

# Whether the toolkit's folder can be made and written is tried, with a folder that goes again at once: what the modes
# of folders say is no answer for root, nor on a disk that is read-only.
_LOOK = """
import platform, shutil
said = {"words": "Python %s on %s" % (platform.python_version(), platform.machine())}
if not shutil.which("rsync"):
    said["words"] += " and no rsync"
place = folder
while not os.path.lexists(place):
    place = os.path.dirname(place)
tried = os.path.join(place, ".toolkit-%d.tmp" % os.getpid())
try:
    os.mkdir(tried, 0o700)
    os.rmdir(tried)
except OSError as error:
    said["refused"] = "%s: %s" % (error.strerror, folder)
print("\\n" + asked["mark"] + json.dumps(said))
"""


def check(name: str, settings: dict[str, Any], definition: dict[str, Any]) -> list[str]:
    """Notices for whoever submits.

    Raises:
        ComputeTargetException: the run cannot go there from this machine.
    """
    for program, package in (("ssh", "openssh-client"), ("rsync", "rsync")):
        if shutil.which(program) is None:
            raise ComputeTargetException(
                f"compute target '{name}' is reached by ssh, and this machine has no {program}: install {package}"
            )
    address = Address.of(settings)
    for setting, path in (("key_file", address.key_file), ("ssh_config", address.ssh_config)):
        if path and not os.access(path, os.R_OK):
            raise ComputeTargetException(
                f"compute target '{name}' has {setting} {path}, which cannot be read: mend it in the workspace's "
                "configuration"
            )
    check_stores(name, definition)
    return []


def examine(name: str, settings: dict[str, Any]) -> str:
    """For `toolkit doctor`: what answers on the host.

    Raises:
        ComputeTargetException: ssh cannot be used from here.
        HostUnreachable, HostRefused: the host does not answer, or refuses, and what to do.
    """
    check(name, settings, {})
    address = Address.of(settings)
    mark = MARK.decode()
    asked = as_input(_LOOK, {"folder": address.folder, "mark": mark}).decode("ascii")
    command = [*address.command("none"), remote(address.python)]
    try:
        done = subprocess.run(
            command, input=asked, capture_output=True, text=True, errors="replace", timeout=2 * CONNECT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise explain(address, "", None) from None
    if done.returncode != 0 or mark not in done.stdout:
        raise explain(address, done.stderr, done.returncode, done.stdout)
    said = json.loads(done.stdout.rpartition(mark)[2].splitlines()[0])
    if "refused" in said:
        raise refusal(address.host, said["refused"])
    return f"{address.host}, {said['words']}"
