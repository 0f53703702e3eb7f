"""Peers in environments of their own, `.venvs/<peer>`: made when they are first needed, reused when they are there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from toolkit.environments import uv
from toolkit.errors import ToolkitError

_MARKER = ".benchmark-peer"  # holds what was asked for; written when all of it is there


class PeerUnavailable(Exception):
    """The peer cannot be installed; the message says why."""


class Peers:
    """Installs peers below `root`, with the user's own package indexes."""

    def __init__(self, root: Path, say: Callable[[str], None]) -> None:
        self.root = root
        self._say = say
        self.versions: dict[str, str] = {}

    def python(self, name: str, *requirements: str) -> str:
        """The interpreter of the peer `name`, which has `requirements`: the first is the peer itself.

        Raises:
            PeerUnavailable: with the installer's own words.
        """
        folder = self.root / name
        python = folder / "bin" / "python"
        wanted = json.dumps([sys.version_info[:2], *requirements])
        marker = folder / _MARKER
        try:
            if not (python.exists() and marker.exists() and marker.read_text() == wanted):
                self._say(f"installing {', '.join(requirements)} into {self.root.name}/{name} (once)")
                self._install(folder, requirements)
                marker.write_text(wanted)
            self._note_version(python, requirements[0])
        except (OSError, subprocess.SubprocessError, ToolkitError) as error:
            raise PeerUnavailable(f"{name} cannot be installed: {error}") from error
        return str(python)

    def _install(self, folder: Path, requirements: tuple[str, ...]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self.root.mkdir(parents=True, exist_ok=True)
        command = [uv.executable(), "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)]
        subprocess.run(command, check=True, env=uv.environment(), cwd=self.root, stdout=sys.stderr)
        words = ["--compile-bytecode", "--python", str(folder / "bin" / "python"), *requirements]
        outcome = uv.pip("install", words, lambda line: None, self.root)
        if outcome.code != 0:
            shutil.rmtree(folder, ignore_errors=True)
            raise PeerUnavailable(" ".join((outcome.messages or outcome.output).split())[-300:])

    def _note_version(self, python: Path, requirement: str) -> None:
        package = requirement.split("[")[0].split("=")[0].split("<")[0].split(">")[0]
        ask = f"import importlib.metadata as m; print(m.version({package!r}))"
        answer = subprocess.run([python, "-I", "-c", ask], capture_output=True, text=True, check=True)
        self.versions[package] = answer.stdout.strip()
