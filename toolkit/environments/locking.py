"""The lock of a request without its build: the one that this machine came to before, or a new one.

    python -m toolkit.environments.locking REQUEST.json OUTCOME.json

solves in a process of its own, since py-rattler sometimes crashes an interpreter that exits in the ordinary way. The
log goes to standard output.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from toolkit.background import background_environment
from toolkit.environments import file_lock, kept_locks
from toolkit.environments.lock import Lock
from toolkit.environments.process import Log, clean
from toolkit.environments.request import Request
from toolkit.environments.store import store
from toolkit.errors import (
    ContainerEngineError,
    EnvironmentBuildError,
    EnvironmentSpecificationError,
    StorageError,
    storage_errors,
)
from toolkit.inscript.files import read_json, write_json

_ERRORS = {
    error.__name__: error
    for error in (ContainerEngineError, EnvironmentBuildError, EnvironmentSpecificationError, StorageError)
}


def lock_of(request: Request, log: Log, anew: bool = False) -> Lock:
    """The lock of a request: its own, the one of an earlier build or solve on this machine, or a new one.

    Args:
        log: takes the lines of the solve's log.
        anew: solve in any case; later builds on this machine take what comes of it.

    Raises:
        EnvironmentSpecificationError: the specification cannot work as it was written.
        EnvironmentBuildError: no solution; with the solver's own words.
        ContainerEngineError: the base of an image cannot be had.
        StorageError: the disk is full.
    """
    found = None if anew else request.lock or kept_locks.find(request.key, request.image is not None)
    if found is None:
        place = store()
        with storage_errors("cannot write the lock of the environment", place.root):
            place.make_folders()
            waiting = f"another process is building this environment ({request.key[:12]}): waiting for it"
            with file_lock.exclusive(place.building / f"{request.key}.lock", waiting, log):  # as builds do
                found = None if anew else kept_locks.find(request.key, request.image is not None)
                if found is None:
                    with tempfile.TemporaryDirectory(dir=place.building, prefix=f"{request.key}-lock-") as scratch:
                        return _solve(request, log, Path(scratch))
    log(f"taking the lock that is there: {found.hash}")
    return found


def _solve(request: Request, log: Log, scratch: Path) -> Lock:
    asked, answer = scratch / "request.json", scratch / "outcome.json"
    write_json(str(asked), request.to_dict())
    process = subprocess.Popen(
        [sys.executable, "-m", "toolkit.environments.locking", str(asked), str(answer)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        env=background_environment(), pass_fds=file_lock.held(),
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                log(line.rstrip("\n"))
        except BaseException:
            process.send_signal(signal.SIGTERM)
            raise
    outcome: dict[str, Any] = read_json(str(answer), {})
    if "lock" in outcome:
        lock = Lock.from_dict(outcome["lock"])
        kept_locks.keep(request, lock)
        return lock
    error = _ERRORS.get(str(outcome.get("error")), EnvironmentBuildError)
    raise error(outcome.get("message") or f"the solve was ended from outside (code {process.returncode}); try again")


def main(arguments: list[str]) -> None:
    """Solve one request; the outcome is a lock, or an error's name and message."""
    from toolkit.environments import build
    from toolkit.images import bases

    request = Request.from_dict(json.loads(Path(arguments[1]).read_text(encoding="utf-8")))
    outcome: dict[str, Any]
    try:
        base = bases.ensure(request.engine, request.image, _print, store()) if request.image else None
        lock = build.solve_request(request, base, _print, store())
        outcome = {"lock": lock.to_dict()}
    except Exception as error:
        name = type(error).__name__
        text = str(error) if name in _ERRORS else f"the solve failed in an unexpected way: {name}: {error}"
        outcome = {"error": name, "message": "\n".join(clean(line) for line in text.splitlines())}
    write_json(arguments[2], outcome)


def _print(text: str) -> None:
    for line in text.splitlines() or [""]:
        print(clean(line), flush=True)


if __name__ == "__main__":
    main(sys.argv)
    sys.stdout.flush()
    os._exit(0)
