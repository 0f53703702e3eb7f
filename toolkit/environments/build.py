"""Building environments: `ensure` in a process, and the process that the agent starts.

    python -m toolkit.environments.build --request REQUEST.json --log LOGFILE

Exit code 0: the environment is there. 1: it is not, and the log's last lines and the error file say why.
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
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TextIO

from toolkit.environments import file_lock, kept_locks, prefix
from toolkit.environments.lock import Lock
from toolkit.environments.process import Log, clean
from toolkit.environments.request import Request
from toolkit.environments.store import Prefix, Store, find, store
from toolkit.errors import ContainerEngineUnreachable, EnvironmentBuildError, ToolkitError, storage_errors
from toolkit.images import bases, fragments
from toolkit.images import image as images
from toolkit.images.bases import Base
from toolkit.images.image import Image
from toolkit.inscript.files import write_json

_ENGINE_SECONDS = 60.0
_STOPPED = 128 + signal.SIGTERM


class _Stopped(BaseException):
    """SIGTERM came."""


def ensure(request: Request, log: Callable[[str], None] | TextIO | None = None) -> Prefix | Image:
    """The environment that is asked for: the one that is there, or a new one.

    Args:
        log: takes the lines of the build log: a function or a text file; None for standard error.

    Raises:
        EnvironmentSpecificationError: the specification cannot work as it was written.
        EnvironmentBuildError: solving or installing failed; with the tools' own words.
        ContainerEngineError: the container engine cannot be reached, or refused.
        StorageError: the disk is full.
    """
    tell = _lines(log if log is not None else sys.stderr)
    present = _find(request)
    if present is not None:
        tell(f"the environment is there already: {present}")
        return present
    place = store()
    with storage_errors("cannot write the environment", place.root):
        place.make_folders()
        waiting = f"another process is building this environment ({request.key[:12]}): waiting for it"
        with file_lock.exclusive(place.building / f"{request.key}.lock", waiting, tell):
            present = _find(request)
            if present is not None:
                tell(f"the environment is there now: {present}")
                return present
            prefix.remove_leftovers(place, request.key, tell)
            fragments.remove_unfinished(place)
            return _build(request, tell, place)


def _find(request: Request) -> Prefix | Image | None:
    return find(request.key) if request.image is None else images.find(request)


def _build(request: Request, tell: Log, place: Store) -> Prefix | Image:
    what = "prefix" if request.image is None else "image"
    tell(f"building {what} {request.key[:12]} for a machine {'with' if request.gpu else 'without'} a GPU")
    spec = request.specification
    if request.lock is None and spec is not None:
        for title, entries in (("conda", spec.conda), ("pip", spec.pip), ("constraints", spec.constraints)):
            if entries:
                tell(f"{title}: {', '.join(entries)}")
    pulled = _pulled(request, tell, place)
    if pulled is not None:
        return pulled
    started = time.monotonic()
    base = bases.ensure(request.engine, request.image, tell, place) if request.image else None
    if base is not None and spec is None and request.lock is None:
        return _base_as_it_is(request, base, tell)
    seconds = {"base": round(time.monotonic() - started, 2)} if base else {}
    kept = None if request.lock else kept_locks.find(request.key, request.image is not None)
    if kept is not None:
        tell(f"taking the lock that this specification came to before: {kept.hash}")
        try:
            return _make(request, kept, base, seconds, tell, place)
        except EnvironmentBuildError as error:
            tell(f"{error}\nsolving anew, since what that lock names cannot be installed any more")
    started = time.monotonic()
    lock = request.lock or solve_request(request, base, tell, place)
    solved = time.monotonic() - started
    source = "taking the lock that was given" if request.lock else f"solved in {solved:.1f} s"
    tell(f"{source}: lock {lock.hash}")
    return _make(request, lock, base, {**seconds, "solve": round(solved, 2)}, tell, place)


def _pulled(request: Request, tell: Log, place: Store) -> Image | None:
    """The image of a request from its registry, where it has one and this has it."""
    from toolkit.images import registry as image_registry

    if not image_registry.reference(request) or (request.specification is None and request.lock is None):
        return None  # a base as it is comes from where it is kept itself
    started = time.monotonic()
    found = image_registry.pull(request, tell)
    if found is None:
        return None
    image, lock = found
    image = replace(image, seconds={"pull": round(time.monotonic() - started, 2)})
    kept_locks.keep(request, lock)
    images.keep(request, image)
    tell(f"environment ready: {image}, pulled from {image_registry.reference(request)}")
    return image


def _make(
    request: Request, lock: Lock, base: Base | None, seconds: dict[str, float], tell: Log, place: Store
) -> Prefix | Image:  # fmt: skip
    """The prefix or the image of a lock, found by the request's key from now on."""
    made: Prefix | Image
    if base is None:
        made, notices = prefix.build(lock, tell, place, seconds)
    else:
        from toolkit.images import assemble, content

        if request.gpu and lock.brings_cuda:
            tell("CUDA comes with the packages: the base image needs none, and the driver is the machine's own")
        made, notices = assemble.build(content.plan(lock, base, place), request, seconds, tell, place)
    for notice in notices:
        tell(notice)
    lock = replace(lock, notices=tuple(dict.fromkeys((*lock.notices, *notices))))
    kept_locks.keep(request, lock)
    if isinstance(made, Image):
        images.keep(request, made)
    tell(f"environment ready: {made}")
    if isinstance(made, Image):
        from toolkit.images import registry as image_registry

        if image_registry.reference(request):
            image_registry.push(request, made, tell)
    return made


def _base_as_it_is(request: Request, base: Base, tell: Log) -> Image:
    image = Image(base.id, base.python)
    images.keep(request, image)
    tell(f"environment ready: the image {base.reference} as it is, {base.id}")
    return image


def solve_request(request: Request, base: Base | None, tell: Log, place: Store) -> Lock:
    """The lock of a request's specification.

    Args:
        base: the base of the image that it is for; None for a prefix.
    """
    from toolkit.environments.solve import solve

    if request.specification is None:
        raise EnvironmentBuildError(f"the request {request.key[:12]} has neither a specification nor a lock")
    scratch = place.building / f"{request.key}-solve"
    scratch.mkdir(exist_ok=True)
    try:
        return solve(request.specification, request.gpu, tell, place, scratch, base)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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
    parser.add_argument("--request", required=True, type=Path, help="what to build, as Request.to_dict has it")
    parser.add_argument("--log", required=True, type=Path, help="the file that the build log is appended to")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    with options.log.open("a", encoding="utf-8", errors="replace") as log:
        tell = _lines(log)
        document = json.loads(options.request.read_text(encoding="utf-8"))
        failure = store().error(document["key"])
        try:
            failure.unlink(missing_ok=True)
            _ensure_patiently(Request.from_dict(document), tell)
        except _Stopped:
            return _failed(failure, "the build was stopped by SIGTERM", tell, _STOPPED)
        except ToolkitError as error:
            return _failed(failure, str(error), tell)
        except Exception as error:
            import traceback

            tell(traceback.format_exc())
            return _failed(failure, f"the build failed in an unexpected way: {type(error).__name__}: {error}", tell)
    return 0


def _ensure_patiently(request: Request, tell: Log) -> None:
    """As `ensure`, waiting for a container engine that went away: it may be restarting."""
    deadline = time.monotonic() + _ENGINE_SECONDS
    while True:
        try:
            ensure(request, tell)
            return
        except ContainerEngineUnreachable as error:
            if time.monotonic() > deadline:
                raise
            tell(f"{error}\nwaiting for it, for a minute at most")
            time.sleep(2)


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
