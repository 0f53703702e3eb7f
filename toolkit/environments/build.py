"""Building environments: `ensure` in a process, and the process that the agent starts.

    python -m toolkit.environments.build --spec SPEC.json --key KEY --log LOGFILE [--gpu]

Exit code 0: the environment of KEY is in the store. 1: it is not, and the log's last lines and the error file say why.
143: stopped by SIGTERM. Killed at any time, nothing half-made is ever taken for an environment.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from toolkit.environments import file_lock, offered, prefix
from toolkit.environments.lock import Lock
from toolkit.environments.pip_config import without_credentials
from toolkit.environments.process import clean
from toolkit.environments.spec import EnvironmentSpec
from toolkit.environments.store import Prefix, Store, find, store
from toolkit.errors import EnvironmentBuildError, ToolkitError, storage_errors
from toolkit.inscript.files import read_json, write_json

_STOPPED = 128 + signal.SIGTERM


class _Stopped(BaseException):
    """SIGTERM came."""


def ensure(
    spec: EnvironmentSpec, gpu: bool = False, log: Callable[[str], None] | TextIO | None = None, key: str = ""
) -> Prefix:
    """The environment of a specification: the one in the store, or a new one.

    Args:
        gpu: whether it is for a machine with a GPU.
        log: takes the lines of the build log: a function or a text file; None for standard error.
        key: the specification's key where the caller has computed it already.

    Raises:
        EnvironmentSpecificationError: the specification cannot work as it was written.
        EnvironmentBuildError: solving or installing failed; with the tools' own words.
        StorageError: the disk is full.
    """
    tell = _lines(log if log is not None else sys.stderr)
    key = key or spec.key(gpu)
    present = find(key)
    if present is not None:
        tell(f"the environment is there already: {present.root}")
        return present
    place = store()
    with storage_errors("cannot write the environment", place.root):
        place.make_folders()
        waiting = f"another process is building this environment ({key[:12]}): waiting for it"
        with file_lock.exclusive(place.building / f"{key}.lock", waiting, tell):
            present = find(key)
            if present is not None:
                tell(f"the environment is there now: {present.root}")
                return present
            prefix.remove_leftovers(place, key, tell)
            return _build(spec, gpu, key, tell, place)


def _build(spec: EnvironmentSpec, gpu: bool, key: str, tell: Callable[[str], None], place: Store) -> Prefix:
    tell(f"building environment {key[:12]} for a machine {'with' if gpu else 'without'} a GPU")
    for title, entries in (("conda", spec.conda), ("pip", spec.pip), ("constraints", spec.constraints)):
        if entries:
            tell(f"{title}: {', '.join(entries)}")
    built = _from_kept_lock(key, tell, place)
    if built is not None:
        return built
    started = time.monotonic()
    lock = _solve(spec, gpu, key, tell, place)
    solved = time.monotonic() - started
    tell(f"solved in {solved:.1f} s: lock {lock.hash}")
    write_json(str(place.lock(lock.hash)), _public(lock.to_dict()))
    built = prefix.build(lock, tell, place, solved)
    record = {"lock_hash": lock.hash, "spec": offered.drop(spec)[0].to_dict(), "gpu": gpu}
    write_json(str(place.spec(key)), _public(record))
    tell(f"environment ready: {built.root}")
    return built


def _solve(spec: EnvironmentSpec, gpu: bool, key: str, tell: Callable[[str], None], place: Store) -> Lock:
    from toolkit.environments.solve import solve

    scratch = place.building / f"{key}-solve"
    scratch.mkdir()
    try:
        return solve(spec, gpu, tell, place, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _from_kept_lock(key: str, tell: Callable[[str], None], place: Store) -> Prefix | None:
    """The prefix anew from the lock of an earlier solve; None where there is none, or it cannot be had any more."""
    lock = _kept_lock(key, place)
    if lock is None:
        return None
    tell(f"taking the lock that this specification came to before: {lock.hash}")
    try:
        return prefix.build(lock, tell, place)
    except EnvironmentBuildError as error:
        tell(f"{error}\nsolving anew, since what that lock names cannot be installed any more")
        return None


def _kept_lock(key: str, place: Store) -> Lock | None:
    """The lock of a specification whose prefix was removed; None where its interpreter is gone as well."""
    record = read_json(str(place.spec(key)))
    if not isinstance(record, dict):
        return None
    document = read_json(str(place.lock(str(record["lock_hash"]))))
    if not isinstance(document, dict):
        return None
    lock = Lock.from_dict(document)
    if lock.hash != record["lock_hash"]:  # there were credentials in it, which are not kept
        return None
    return lock if lock.conda or os.access(lock.python.path, os.X_OK) else None


def _public(document: dict[str, Any]) -> dict[str, Any]:
    """A document as it is kept: without the credentials in its URLs."""
    kept: dict[str, Any] = json.loads(without_credentials(json.dumps(document)))
    return kept


def _lines(log: Callable[[str], None] | TextIO) -> Callable[[str], None]:
    """A function that writes one clean line at a time."""

    def tell(text: str) -> None:
        for line in text.splitlines() or [""]:
            if callable(log):
                log(clean(line))
            else:
                log.write(clean(line) + "\n")
                log.flush()

    return tell


def main(arguments: Sequence[str] | None = None) -> int:
    """Build one environment for the agent; the exit code is described at the top of this module."""
    parser = argparse.ArgumentParser(prog="python -m toolkit.environments.build", description="Build an environment.")
    parser.add_argument("--spec", required=True, type=Path, help="the specification, as EnvironmentSpec.to_dict has it")
    parser.add_argument("--key", required=True, help="the specification's key")
    parser.add_argument("--log", required=True, type=Path, help="the file that the build log is appended to")
    parser.add_argument("--gpu", action="store_true", help="the environment is for a machine with a GPU")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    with options.log.open("a", encoding="utf-8", errors="replace") as log:
        tell = _lines(log)
        failure = store().error(options.key)
        try:
            failure.unlink(missing_ok=True)
            spec = EnvironmentSpec.from_dict(json.loads(options.spec.read_text(encoding="utf-8")))
            ensure(spec, options.gpu, tell, options.key)
        except _Stopped:
            return _failed(failure, "the build was stopped by SIGTERM", tell, _STOPPED)
        except ToolkitError as error:
            return _failed(failure, str(error), tell)
        except Exception as error:
            import traceback

            tell(traceback.format_exc())
            return _failed(failure, f"the build failed in an unexpected way: {type(error).__name__}: {error}", tell)
    return 0


def _failed(failure: Path, message: str, tell: Callable[[str], None], code: int = 1) -> int:
    try:
        failure.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(str(failure), {"message": clean_text(message)})
        tell(message)
    except OSError:  # a full disk: the exit code still tells that the build failed
        print(clean_text(message), file=sys.stderr)
    return code


def clean_text(text: str) -> str:
    """Several lines without control characters and credentials."""
    return "\n".join(clean(line) for line in text.splitlines())


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough: let the cleaning up run to its end
    raise _Stopped


if __name__ == "__main__":
    try:
        code = main()
    except SystemExit as exiting:  # argparse
        code = exiting.code if isinstance(exiting.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # py-rattler sometimes crashes an interpreter that exits in the ordinary way
