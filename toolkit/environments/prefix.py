"""From a lock to a prefix: made in a staging folder with the paths that it will have, renamed into place when whole."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from toolkit.environments import bytecode, conda_link, file_lock, process, uv
from toolkit.environments.lock import Lock
from toolkit.environments.process import Log
from toolkit.environments.store import MARKER, Prefix, Store, prefix_of
from toolkit.errors import EnvironmentBuildError
from toolkit.inscript.files import write_json

_LARGEST_SCRIPT = 1_000_000


def build(
    lock: Lock, log: Log, store: Store, seconds_before: dict[str, float]
) -> tuple[Prefix, tuple[str, ...]]:  # fmt: skip
    """The prefix of a lock: the one that is there, or a new one; also the notices of its packages.

    Args:
        seconds_before: how long the phases before this one took.

    Raises:
        EnvironmentBuildError: a package cannot be fetched, verified or installed.
        StorageError: the disk is full.
    """
    final = store.prefix(lock.hash)
    waiting = f"another build is making the same prefix {lock.hash}: waiting for it"
    with file_lock.exclusive(_lock_file(store, lock.hash), waiting, log):
        present = prefix_of(lock.hash)
        if present is not None:
            log(f"the prefix {final} is there already")
            return present, ()
        stage = store.building / f"{lock.hash}-{os.getpid()}"
        _remove(stage)
        try:
            seconds = {"solve": 0.0, **seconds_before, **_fill(lock, stage, final, log, store)}
            notices = tuple(conda_link.link_scripts(stage))
            kind = "conda" if lock.conda else "venv"
            write_json(str(stage / MARKER), {"kind": kind, "seconds": seconds, "lock": lock.hash, "built": time.time()})
            _put_in_place(stage, final, store)
        finally:
            _remove(stage)
    built = prefix_of(lock.hash)
    if built is None:
        raise EnvironmentBuildError(f"the new prefix {final} has no working bin/python; please report this build's log")
    bytecode.compile_later(built)
    log("seconds: " + ", ".join(f"{phase} {value:.1f}" for phase, value in seconds.items()))
    return built, notices


def remove_leftovers(store: Store, key: str, log: Log) -> None:
    """Remove what builds that died have left. They are dead where their lock is free, or is ours: `key`."""
    for leftover in store.building.iterdir():
        if not leftover.is_dir():
            continue
        owner = leftover.name.partition("-")[0]
        with file_lock.if_free(_lock_file(store, owner)) as free:
            if free or owner == key:
                log(f"removing what a build that ended early has left: {leftover.name}")
                _remove(leftover)


def _fill(lock: Lock, stage: Path, final: Path, log: Log, store: Store) -> dict[str, float]:
    """Install everything into `stage`; seconds of each phase."""
    started = time.monotonic()
    if lock.conda:
        conda_link.link(lock.conda, stage, final, log, store)
    else:
        command = [uv.executable(), "venv", "--no-project", "--python", lock.python.path, str(stage)]
        outcome = process.run(command, log, uv.environment(), store.building, show=False)
        if outcome.code != 0:
            uv.fail(f"no venv of {lock.python.path} can be made; uv says", outcome, "Is that Python whole?", stage)
    _install_pip_part(lock, stage, log, store)
    _rewrite_scripts(stage / "bin", str(stage), str(final))
    return {"install": round(time.monotonic() - started, 2)}


def _install_pip_part(lock: Lock, stage: Path, log: Log, store: Store) -> None:
    arguments = ["--python", str(stage / "bin" / "python"), *lock.options]
    if lock.conda:
        arguments.append("--break-system-packages")  # the prefix is ours, whatever its Python says of itself
    advice = "Look at the first error above: a package that has to be compiled may need a compiler or headers."
    uv.install(lock.entries, arguments, log, store.building, advice)


def _rewrite_scripts(folder: Path, stage: str, final: str) -> None:
    """Let the scripts in `bin` name the final path. Files are written anew: they may be links into uv's cache."""
    for script in folder.iterdir():
        if script.is_symlink() or not script.is_file() or script.stat().st_size > _LARGEST_SCRIPT:
            continue
        content = script.read_bytes()
        if b"\0" in content or stage.encode() not in content:
            continue
        fresh = script.with_name(script.name + ".new")
        fresh.write_bytes(content.replace(stage.encode(), final.encode()))
        shutil.copymode(script, fresh)
        fresh.replace(script)


def _put_in_place(stage: Path, final: Path, store: Store) -> None:
    if final.exists():  # without its marker or its interpreter
        final.rename(store.building / f"{final.name}-broken-{os.getpid()}")
    stage.rename(final)
    _remove(store.building / f"{final.name}-broken-{os.getpid()}")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _lock_file(store: Store, lock_hash: str) -> Path:
    return store.building / f"{lock_hash}.lock"
