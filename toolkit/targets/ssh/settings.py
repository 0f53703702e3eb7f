"""What may be said of hosts that are reached by SSH."""

from __future__ import annotations

import re

from toolkit.targets.kind import Kind
from toolkit.targets.settings import COMMON, POLICY, Setting, is_text, whole

KEEP = ("none", "failed", "all")
_HOST = re.compile(r"(?:[^\s@-][^\s@]*@)?[^\s@-][^\s@]*")


def _is_host(value: object) -> bool:
    """Whether ssh takes it as a destination: nothing that begins with a hyphen, which would be an option of ssh."""
    return isinstance(value, str) and _HOST.fullmatch(value) is not None


def _is_port(value: object) -> bool:
    return whole(1)(value) and isinstance(value, int) and value < 65536


def _is_folder(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("/", "~/")) and "\n" not in value


def _is_python(value: object) -> bool:
    return is_text(value) and not str(value).startswith("-") and "\n" not in str(value)


SETTINGS = {
    **COMMON,
    **POLICY,
    "host": Setting(_is_host, "as ssh takes it: user@host, or a name of ~/.ssh/config"),
    "port": Setting(_is_port, "a whole number from 1 to 65535"),
    "key_file": Setting(is_text, "the path of a private key on this machine, as in ~/.ssh/id_ed25519", is_file=True),
    "ssh_config": Setting(is_text, "the path of a configuration file of ssh, instead of ~/.ssh/config", is_file=True),
    "folder": Setting(_is_folder, "a folder on the host with room for runs and environments, as in ~/toolkit or /data"),
    "python": Setting(_is_python, "a Python on the host, 3.6 or later: a name of its PATH, or a path"),
    "keep": Setting(
        lambda value: value in KEEP,
        f"{', '.join(KEEP)}: whose folders stay on the host for a week after their end",
    ),
}
KIND = Kind(
    "toolkit.targets.ssh.target:SshTarget",
    SETTINGS,
    summary="a machine that ssh reaches",
    required=("host",),
    example={"host": "user@gpu-box", "gpus": 1},
    is_here=False,
    default_python="python3",
    check="toolkit.targets.ssh.checks:check",
    examine="toolkit.targets.ssh.checks:examine",
)
