"""Finding a Python on this machine for a pin, where uv looks, and asking uv to download one where none is."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from toolkit.environments import process, uv
from toolkit.environments.conda_requirement import CondaRequirement
from toolkit.environments.process import Log
from toolkit.errors import EnvironmentBuildError

_PROBE = """
import json, os, sys
path = getattr(sys, "_base_executable", None) or sys.executable
if sys.prefix != sys.base_prefix and not getattr(sys, "_base_executable", None):
    path = os.path.join(sys.base_prefix, "bin", "python%d.%d" % sys.version_info[:2])
print(json.dumps([path, "%d.%d.%d" % sys.version_info[:3]]))
"""
_PROBE_SECONDS = 20


@dataclass(frozen=True)
class Interpreter:
    """A Python that venvs can be made from.

    Args:
        path: the interpreter itself: no shim of a version manager, no link in a venv.
        version: as in "3.11.7".
        source: "the toolkit's own", "found" or "downloaded by uv".
    """

    path: str
    version: str
    source: str


class NoInterpreterError(EnvironmentBuildError):
    """No Python on this machine satisfies the pin, and none could be downloaded."""


def find(pin: CondaRequirement | None, log: Log, folder: Path) -> Interpreter:
    """The interpreter for a pin such as `python=3.10`; without a pin, the one that runs the toolkit.

    The toolkit's own version is preferred, then the same minor version, then the newest.

    Args:
        folder: where uv may run; nothing is written there.

    Raises:
        NoInterpreterError: with the pin and what was found instead.
    """
    own = Interpreter(_own_path(), platform.python_version(), "the toolkit's own")
    if pin is None or not pin.version:
        log(f"no version of Python is asked for: taking the toolkit's own, {own.version}")
        return own
    if satisfies(own.version, pin):
        return own
    found = installed(log, folder)
    for candidate in sorted(found, key=_preference, reverse=True):
        if satisfies(candidate.version, pin):
            real = _real(candidate)
            if real is not None and satisfies(real.version, pin):
                return real
    downloaded, refusal = _download(pin, log, folder)
    if downloaded is not None:
        return downloaded
    raise NoInterpreterError(_none_found(pin, [own, *found], refusal))


def installed(log: Log, folder: Path) -> list[Interpreter]:
    """The interpreters that uv finds, one a version; the paths may still be shims."""
    listed = _listed(log, folder, "--only-installed")
    found: dict[str, Interpreter] = {}
    for entry in listed:
        plain = entry.get("implementation") == "cpython" and entry.get("variant", "default") == "default"
        if plain and entry.get("path") and entry["version"] not in found:
            found[entry["version"]] = Interpreter(entry["path"], entry["version"], "found")
    return list(found.values())


def _listed(log: Log, folder: Path, *arguments: str) -> list[dict[str, str]]:
    command = [uv.executable(), "python", "list", *arguments, "--output-format", "json"]
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_beside_shims()])
    outcome = process.run(command, log, uv.environment(PATH=path), folder, show=False)
    try:
        entries: list[dict[str, str]] = json.loads(outcome.output)
    except ValueError:
        log(f"uv could not list the interpreters: {outcome.messages}")
        return []
    return entries


def _beside_shims() -> list[str]:
    """The folders of the Pythons that a folder of shims on the PATH stands for.

    A shim (pyenv, asdf, mise) answers only for the versions that are selected just now; the others lie beside it.
    """
    folders: list[str] = []
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        if Path(entry).name == "shims":
            root = Path(entry).parent
            folders += [str(f) for pattern in ("versions/3*/bin", "installs/python/3*/bin") for f in root.glob(pattern)]
    return folders


def _own_path() -> str:
    """The interpreter below the venv that the toolkit runs in."""
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def satisfies(version: str, pin: CondaRequirement) -> bool:
    """Whether a version of Python is one that the pin allows."""
    return any(SpecifierSet(one).contains(version, prereleases=True) for one in pin.pip_versions)


def _preference(candidate: Interpreter) -> tuple[bool, bool, bool, Version]:
    try:
        version = Version(candidate.version)
    except InvalidVersion:
        version = Version("0")
    same = version.release[:2] == sys.version_info[:2]
    return candidate.version == platform.python_version(), same, not version.is_prerelease, version


def _real(candidate: Interpreter) -> Interpreter | None:
    """The interpreter behind a shim or a venv; None where it does not start."""
    try:
        answer = subprocess.run(
            [candidate.path, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=True
        )
        path, version = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return Interpreter(path, version, candidate.source) if Path(path).exists() else None


def _download(pin: CondaRequirement, log: Log, folder: Path) -> tuple[Interpreter | None, str]:
    """A Python that uv downloaded, or None and why not."""
    if os.environ.get("UV_PYTHON_DOWNLOADS", "").lower() in ("never", "manual", "false", "0"):
        return None, "UV_PYTHON_DOWNLOADS does not allow uv to download one"
    if os.environ.get("UV_OFFLINE", "").lower() in ("1", "true"):
        return None, "UV_OFFLINE does not allow uv to download one"
    request = pin.pip_versions[0].removeprefix("==").removesuffix(".*")
    log(f"no Python on this machine satisfies '{pin.text}': asking uv to download one")
    command = [uv.executable(), "python", "install", "--no-bin", request]
    outcome = process.run(command, log, uv.environment(UV_HTTP_RETRIES="1"), folder)
    if outcome.code != 0:
        return None, f"uv could not download one: {_first_line(outcome.messages)}"
    for candidate in installed(log, folder):
        if satisfies(candidate.version, pin):
            real = _real(candidate)
            if real is not None:
                return Interpreter(real.path, real.version, "downloaded by uv"), ""
    return None, "uv downloaded one that was not found again"


def _none_found(pin: CondaRequirement, found: list[Interpreter], refusal: str) -> str:
    versions = {interpreter.version: interpreter.path for interpreter in found}
    listed = "\n".join(f"  {version}  {path}" for version, path in sorted(versions.items(), key=_by_version))
    return (
        f"no Python on this machine satisfies '{pin.text}', and {refusal}. Found:\n{listed}\n"
        "Install one that does, loosen the pin (as in 'python=3.10'), or set python.interpreter_path to your own."
    )


def _first_line(messages: str) -> str:
    return messages.partition("\n")[0].removeprefix("error: ") or "it says nothing"


def _by_version(item: tuple[str, str]) -> tuple[int, ...]:
    return tuple(int(part) for part in item[0].split(".") if part.isdigit())
