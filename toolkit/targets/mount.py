"""What a script may import of the toolkit, copied by content for the path of runs."""

from __future__ import annotations

import compileall
import hashlib
import os
import py_compile
import shutil
from functools import lru_cache
from pathlib import Path

from toolkit.errors import storage_errors
from toolkit.paths import home

# What a script sees as `toolkit` is left out: the launcher does not need it, and importing it takes its time.
_LAUNCH = """\
import os, sys
if len(sys.argv) > 3:
    log = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
package = type(sys)("toolkit")
package.__path__ = [sys.argv[1] + "/toolkit"]
sys.modules["toolkit"] = package
from toolkit.inscript.launcher import main
sys.exit(main(sys.argv[2]))
"""
PACKAGE = Path(__file__).resolve().parent.parent
PARTS = ("inscript", "data", "vision", "compat")


def inscript_folder() -> Path:
    """The folder that holds `toolkit/` with what scripts may import, and nothing else.

    Made once a version, whole or not at all; a copy, so that an upgrade of the toolkit changes no run that goes on.
    """
    folder = home().inscript / _digest()
    if folder.is_dir():
        return folder
    _digest.cache_clear()  # what is copied is what is there now
    folder = home().inscript / _digest()
    return folder if folder.is_dir() else _copied(folder)


def _sources() -> list[Path]:
    return [source for part in PARTS for source in sorted((PACKAGE / part).rglob("*.py"))]


@lru_cache(maxsize=1)
def _digest() -> str:
    """By the sources as they were when this process asked first: those that it has itself."""
    digest = hashlib.sha256()
    for source in _sources():
        digest.update(os.fsencode(source.relative_to(PACKAGE)) + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _copied(folder: Path) -> Path:
    staging = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    with storage_errors("cannot copy the in-script side", folder):
        for source in _sources():
            copy = staging / "toolkit" / source.relative_to(PACKAGE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
        shutil.copyfile(PACKAGE / "inscript" / "mounted.py", staging / "toolkit" / "__init__.py")
        # Containers cannot write here. Unchecked, so that it holds wherever and whenever the sources are copied to.
        compileall.compile_dir(staging, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        try:
            staging.rename(folder)
        except OSError:  # another process was first
            shutil.rmtree(staging, ignore_errors=True)
            if not folder.is_dir():
                raise
    return folder


def python_path() -> list[str]:
    """What every run gets on its PYTHONPATH: the toolkit for scripts, and the `azureml` names."""
    folder = inscript_folder()
    return [str(folder), str(folder / "toolkit" / "compat")]


def launcher_command(python: str, run_root: str, log: str = "") -> list[str]:
    """The command that starts the launcher of a run with the interpreter `python`, whatever that has installed.

    Args:
        log: a file that takes what the launcher says, where nobody else keeps its output.
    """
    return [python, "-I", "-S", "-c", _LAUNCH, str(inscript_folder()), run_root, *([log] if log else [])]
