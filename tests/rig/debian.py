"""Debian packages, from where this machine's apt takes its own: no root needed, and apt's own state stays as it is."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

from tests.rig import cache

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class DebianError(Exception):
    """Packages cannot be fetched; the message has apt's own words."""


def why_not() -> str:
    """Why packages cannot be fetched on this machine; "" where they can."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return "a Debian machine (apt-get and dpkg-deb are not there)"
    if not _KEYRING.exists():
        return "the package debian-archive-keyring"
    return "" if _archive() else f"an apt source for Debian {suite()}"


def suite() -> str:
    """The release of this machine, as in "bookworm"; that of the default base image on another distribution."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return release.get("VERSION_CODENAME", "sid") if release.get("ID") == "debian" else "bookworm"


def _archive() -> str:
    """The URI of the archive in apt's sources, which holds all suites; "" without one."""
    command = ["apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]
    listed = subprocess.run(command, capture_output=True, text=True).stdout.split("\n")
    found = [line.split(" ", 2) for line in listed if line]
    return next((uri for release, component, uri in found if (release, component) == (suite(), "main")), "")


def fetch(names: list[str], of: str = "", dependencies: bool = True) -> list[Path]:
    """The archives (`.deb`) of packages of the suite `of` and all they depend on, sorted by name.

    They are downloaded into the rig's cache: 1 to 2 s of which 1 s is the list of packages.

    Raises:
        DebianError: apt refuses, or cannot reach its source.
    """
    of = of or suite()
    with cache.locked(f"apt-{of}") as state:
        options = _prepare(state, of)
        _apt(options, "update")
        ask = ["install", "--yes", "--no-install-recommends"] if dependencies else ["download"]
        # Where an archive is there already, `install` does not print it.
        listed = _apt([*options, "-o", f"Dir::Cache::Archives={state / 'none'}"], *ask, "--print-uris", *names)
        lines = [line.split() for line in listed.splitlines() if line.startswith("'")]
        archives = sorted(state / "archives" / line[1] for line in lines)
        if not all(archive.exists() for archive in archives):
            more = ["--download-only"] if dependencies else []
            _apt(options, *ask, *more, *names, folder=state / "archives")
        return archives


def _prepare(state: Path, of: str) -> list[str]:
    """Make the folders of an apt that knows one suite and has nothing installed; returns its options."""
    for name in ("lists/partial", "archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "status").write_text("")
    (state / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {_archive()} {of} main\n")
    settings = {
        "Dir::Etc::SourceList": state / "sources.list", "Dir::Etc::SourceParts": state / "none",
        "Dir::State": state, "Dir::State::Lists": state / "lists", "Dir::State::Status": state / "status",
        "Dir::Cache": state, "Dir::Cache::Archives": state / "archives", "Dir::Log": state,
        "Acquire::Languages": "none", "APT::Sandbox::User": "root", "Debug::NoLocking": "true",
    }  # fmt: skip
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _apt(options: list[str], *words: str, folder: Path | None = None) -> str:
    done = subprocess.run(["apt-get", "-qq", *options, *words], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise DebianError(f"apt-get {' '.join(words)} failed: {done.stderr.strip()}")
    return done.stdout


def unpack(archives: list[Path], folder: Path) -> Path:
    """Unpack the packages' files into `folder`; none of their scripts runs."""
    folder.mkdir(parents=True, exist_ok=True)
    for archive in archives:
        subprocess.run(["dpkg-deb", "--extract", archive, folder], check=True)
    return folder
