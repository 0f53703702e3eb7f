"""The bytecode of an environment: written beside its first run, since it takes longer than all the rest."""

from __future__ import annotations

import os
from pathlib import Path

from toolkit.background import start_background
from toolkit.environments.store import Prefix

_POLITE = 19  # the lowest priority: whoever trains on this machine comes first


def compile_later(prefix: Prefix) -> None:
    """Start writing the bytecode of everything in `prefix` and return at once.

    Neither uv nor rattler writes any, and `import torch` takes twice as long without. An environment works before it
    is there, a run that is quicker writes what it imports itself, and a process that is ended here harms nothing:
    each file appears whole. A package with a file that does not compile (templates, Python 2) is not an error.
    """
    libraries = [str(library) for library in sorted(Path(prefix.root).glob("lib/python3*"))]
    command = [prefix.python, "-I", "-m", "compileall", "-q", "-j", "0", *libraries]
    start_background(command, Path(os.devnull), Path(prefix.root), nice=_POLITE)
