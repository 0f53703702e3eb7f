"""A conda environment of this machine, exported by conda, mamba or micromamba."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from toolkit.environments.spec import EnvironmentSpec

_SECONDS = 300.0


class NotExportedError(Exception):
    """There is no conda, no such environment, or conda refused; the text says which and what to do."""


def export(name: str) -> EnvironmentSpec:
    """What `conda env export --no-builds` says of an environment, by its name or its folder.

    Raises:
        NotExportedError: there is nothing to export.
        EnvironmentSpecificationError: the export holds what an environment cannot keep, as a folder of this machine.
    """
    from toolkit.environments.specification_file import parse_conda_specification

    conda = _conda()
    _check_exists(conda, name)
    where = ["--prefix", name] if os.sep in name else ["--name", name]
    flag = "--no-build" if "micromamba" in Path(conda).name else "--no-builds"
    text = _run(conda, "env", "export", flag, *where)
    return parse_conda_specification(text, Path(f"`{Path(conda).name} env export` of '{name}'"))


def _conda() -> str:
    for variable, command in (("CONDA_EXE", "conda"), ("", "mamba"), ("MAMBA_EXE", "micromamba")):
        found = shutil.which(os.environ.get(variable) or command) or shutil.which(command)
        if found:
            return found
    raise NotExportedError(
        "there is no conda, mamba or micromamba on the PATH; install one, or write an environment.yml for "
        "Environment.from_conda_specification"
    )


def _check_exists(conda: str, name: str) -> None:
    try:
        folders = [str(folder) for folder in json.loads(_run(conda, "env", "list", "--json"))["envs"]]
    except (ValueError, KeyError, TypeError) as error:
        raise NotExportedError(f"`{Path(conda).name} env list --json` answers what is no list: {error}") from error
    names = {Path(folder).name for folder in folders if Path(folder).parent.name == "envs"} | {"base"}
    if name not in names and os.path.abspath(name) not in folders:
        raise NotExportedError(
            f"{Path(conda).name} has no environment '{name}'; it has: {', '.join(sorted(names))} "
            f"(`{Path(conda).name} env list`)"
        )


def _run(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotExportedError(f"`{' '.join(command)}` failed: {error}") from error
    if done.returncode != 0:
        raise NotExportedError(
            f"`{' '.join(command)}` failed with exit code {done.returncode}: {done.stderr.strip() or 'it says nothing'}"
        )
    return done.stdout
