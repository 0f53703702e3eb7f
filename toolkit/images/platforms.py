"""What solvers are told of where an environment will run: this machine, or a base image."""

from __future__ import annotations

from dataclasses import dataclass

_SUBDIRS = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}
_GO_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}
_UV_KNOWS = (17, 28, *range(31, 41))  # the versions 2.X of glibc that uv has a platform for


@dataclass(frozen=True)
class Platform:
    """A Linux with glibc.

    Args:
        machine: "x86_64" or "aarch64".
        libc: the version of glibc, as in "2.36".
    """

    machine: str
    libc: str

    @property
    def name(self) -> str:
        """As locks have it."""
        return f"Linux-{self.machine}"

    @property
    def subdir(self) -> str:
        """As conda channels have it."""
        return _SUBDIRS.get(self.machine, f"linux-{self.machine}")

    @property
    def for_uv(self) -> str:
        """The newest platform of uv whose wheels run with this glibc, as in "x86_64-manylinux_2_36"."""
        minor = int(self.libc.split(".")[1])
        return f"{self.machine}-manylinux_2_{max(known for known in _UV_KNOWS if known <= max(minor, _UV_KNOWS[0]))}"


def machine_of(architecture: str) -> str:
    """The machine's name for an architecture as container images name it."""
    return _GO_NAMES.get(architecture, architecture)
