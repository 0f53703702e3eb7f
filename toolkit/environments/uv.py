"""uv, as the toolkit calls it: with the user's pip configuration, failing in its own words."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from toolkit.environments import pip_config, process
from toolkit.environments.process import Log, Outcome
from toolkit.errors import EnvironmentBuildError, storage_errors

_NOT_FOR_US = ("UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_VENV_CLEAR", "UV_VENV_SEED", "UV_PROJECT", "UV_WORKING_DIR",
               "UV_REQUIRE_HASHES", "UV_COMPILE_BYTECODE", "UV_VENV_RELOCATABLE", "VIRTUAL_ENV", "CONDA_PREFIX",
               "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")  # fmt: skip
_ADVICE = {
    "Hash mismatch": "The file is not the one that was locked: it was damaged on its way, or replaced. If that was "
    "meant, solve anew, with `toolkit environment lock FILE --upgrade`.",
    "Failed to fetch": "Check the network, and the indexes in pip's configuration (`pip config list`).",
}
_STORAGE_CODE = re.compile(r"\(os error (28|30|122)\)")


@lru_cache(maxsize=1)
def executable() -> str:
    """The path of uv."""
    import uv

    return uv.find_uv_bin()


def environment(**more: str) -> dict[str, str]:
    """The variables that uv runs with: the user's, their pip configuration, and `more` over both."""
    variables = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_US}
    variables.update(pip_config.uv_variables(pip_config.read()))
    return {**variables, "UV_NO_PROGRESS": "1", "NO_COLOR": "1", **more}


def pip(command: str, arguments: list[str], log: Log, cwd: Path, stdin: str = "", show: bool = True,
        seconds: float | None = None, **variables: str) -> Outcome:  # fmt: skip
    """Run `uv pip COMMAND ARGUMENTS...`; the caller looks at the outcome's code."""
    environ = environment(**variables)
    words = [executable(), "pip", command, *arguments, *pip_config.uv_arguments(pip_config.read())]
    return process.run([*words, *_hidden(arguments, environ)], log, environ, cwd, stdin, show, seconds)


def _hidden(arguments: list[str], environ: dict[str, str]) -> list[str]:
    """The find-links of the environment as arguments, where such an argument would hide the variable from uv."""
    if "--find-links" not in arguments:
        return []
    links = [link for link in environ.get("UV_FIND_LINKS", "").split(",") if link]
    return [word for link in links for word in ("--find-links", link)]


def install(requirements: Sequence[str], arguments: Sequence[str], log: Log, cwd: Path, advice: str) -> None:
    """Install pinned requirements, those with hashes held to them. A repository has none: its commit is its hash.

    Args:
        advice: what to do where uv's own words do not tell what went wrong.

    Raises:
        EnvironmentBuildError: one cannot be fetched, verified or installed; with uv's own words.
        StorageError: the disk is full.
    """
    for hashed in (True, False):
        chosen = [one for one in requirements if ("--hash=" in one) == hashed]
        if chosen:
            words = ["--no-deps", *(["--require-hashes"] if hashed else []), *arguments, "-r", "-"]
            outcome = pip("install", words, log, cwd, stdin="\n".join(chosen))
            if outcome.code != 0:
                better = (words for sign, words in _ADVICE.items() if sign in outcome.messages)
                fail("the pip packages cannot be installed; uv says", outcome, next(better, advice), cwd)


def fail(what: str, outcome: Outcome, advice: str, path: Path) -> NoReturn:
    """Raise what a failed command comes to: a full disk is a `StorageError`, the rest is the tool's own words."""
    raise_if_storage(outcome.messages, path)
    words = outcome.messages or outcome.output.strip() or f"exit code {outcome.code}"
    raise EnvironmentBuildError(f"{what}:\n{words}\n{advice}")


def raise_if_storage(message: str, path: Path) -> None:
    """Raise a `StorageError` where a tool's message tells of a full or read-only disk."""
    found = _STORAGE_CODE.search(message)
    if found is not None:
        with storage_errors("cannot write the environment", path):
            raise OSError(int(found[1]), os.strerror(int(found[1])))
