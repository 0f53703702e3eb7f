"""`toolkit exec`: a control script written for Azure ML SDK v1, unchanged, with the toolkit's `azureml` names."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NoReturn

from toolkit import compat
from toolkit.errors import UserErrorException

USAGE = """\
usage: toolkit exec [--dry-run] SCRIPT.py [ARGUMENT ...]
       toolkit exec [--dry-run] -m MODULE [ARGUMENT ...]
       toolkit exec [--dry-run] NOTEBOOK.ipynb

Run a control script that was written for Azure ML SDK v1: what it imports from azureml is the toolkit's. Everything
else is as with `python SCRIPT.py`. Of a notebook, the code cells are run one after the other.

With --dry-run the script ends at its first submit, which prints the exact plan of the run instead: command, variables,
what the engine is asked for, the objects of a Kubernetes cluster.
"""


def main(words: list[str]) -> int:
    """Replace this process by a Python that runs the script; returns only where that cannot be.

    Returns: the exit code: 0 after the help, 2 of a wrong call.
    """
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="", file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    if words[0] == "--dry-run":
        os.environ["TOOLKIT_DRY_RUN"] = "1"
        words = words[1:] or ["-h"]
    try:
        command = _command(words)
    except UserErrorException as error:
        print(f"toolkit: {error}", file=sys.stderr)
        return 2
    compat.enable()
    return _become(command)


def _command(words: list[str]) -> list[str]:
    """What follows `python` on the command line."""
    first = words[0]
    if first == "-m":
        if len(words) < 2:
            raise UserErrorException("say which module: `toolkit exec -m MODULE`")
        return words
    if first.startswith("-"):
        raise UserErrorException(f"toolkit exec has no option {first}: the script's own arguments come after its name")
    if not os.path.exists(first):
        raise UserErrorException(f"there is no script '{first}' (looked in {os.getcwd()})")
    if first.endswith(".ipynb"):
        return ["-m", "toolkit.notebook", *words]
    return words


def _become(command: list[str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    os.execv(sys.executable, [sys.executable, *flags, *command])
