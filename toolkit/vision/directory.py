"""What the directories of the designer have in common: a `_meta.yaml` that says their type; all or nothing on disk."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from toolkit.inscript.errors import UserErrorException
from toolkit.vision.errors import ModuleOutOfMemoryError

META = "_meta.yaml"
# The kinds of directories, as their `_meta.yaml` says.
IMAGES = "ImageDirectory"
TRANSFORMATION = "TransformationDirectory"
UNTRAINED_MODEL, MODEL = "UntrainedModelDirectory", "ModelDirectory"
DATA_FRAME = "DataFrameDirectory"
EVALUATION = "EvaluationDirectory"


def read_meta(root: Path) -> dict[str, Any]:
    """The content of `_meta.yaml`; {} where there is none or it is no mapping."""
    try:
        meta = yaml.safe_load((root / META).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return meta if isinstance(meta, dict) else {}


def write_meta(root: Path, kind: str, **parts: Any) -> None:
    """Write `_meta.yaml` for a directory of this kind. `parts`: the names of its files, in the designer's words."""
    text = yaml.safe_dump({"type": kind, **parts, "extension": {}}, sort_keys=False, allow_unicode=True)
    (root / META).write_text(text, encoding="utf-8")


def describe(root: Path) -> str:
    """What stands at `root`, for a message: "a ModelDirectory", "a folder without _meta.yaml", "no folder" …"""
    if not root.exists():
        return f"{root} does not exist"
    if not root.is_dir():
        return f"{root} is a file"
    kind = read_meta(root).get("type")
    return f"{root} is a {kind}" if kind else f"{root} is a folder without a {META}"


@contextmanager
def new_directory(path: str | os.PathLike[str], kind: str) -> Iterator[Path]:
    """A folder to write to that becomes `path` when the block ends well, and is removed otherwise.

    A directory of the same kind at `path` is replaced; anything else that holds files is not.

    Args:
        kind: what the block writes, as in "ImageDirectory".

    Raises:
        UserErrorException: `path` cannot be written, is a file, or a folder with something else in it.
        ModuleOutOfMemoryError: the disk is full.
    """
    target = Path(os.path.abspath(path))
    check_output(target, kind)
    staging = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    lock = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        staging.mkdir()
        lock = os.open(staging, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever holds it lives: see _remove_abandoned
        yield staging
        _replace(staging, target)
    except (OSError, RuntimeError) as error:
        if _says_full(error):
            free = shutil.disk_usage(target.parent).free
            raise ModuleOutOfMemoryError(
                f"the disk of {target.parent} is full ({free / 1e6:.0f} MB free): free some space, or write elsewhere; "
                "nothing was kept of what was written"
            ) from error
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def check_output(path: str | os.PathLike[str], kind: str) -> None:
    """Refuse, before any work, an output path that `new_directory` would refuse.

    Raises:
        UserErrorException: `path` cannot be written, is a file, or a folder with something else in it.
    """
    target = Path(os.path.abspath(path))
    above = target.parent
    while not above.exists():
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        what = "it may not be written" if above.is_dir() else "it is a file"
        raise UserErrorException(f"the output {target} cannot be made in {above}: {what}")
    if target.exists() and not target.is_dir():
        raise UserErrorException(f"{target} is a file: give a folder for the output")
    if not target.is_dir() or not any(target.iterdir()):
        return
    there = read_meta(target).get("type")
    if there is None:
        raise UserErrorException(f"{target} holds other files already: give a new or an empty folder for the output")
    if there != kind:
        raise UserErrorException(f"{target} is a {there} already, and is not replaced by a {kind}: give another folder")


def _says_full(error: Exception) -> bool:
    """Whether the disk is full: torch, where it writes a file, has words of its own for that."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "PytorchStreamWriter" in str(error) or "unexpected pos" in str(error)


def _remove_abandoned(target: Path) -> None:
    """Remove what a process left that was killed while it wrote this directory."""
    name = re.compile(re.escape(f".{target.name}.") + r"\d+\.tmp(\.old)?")
    for folder in [entry for entry in target.parent.iterdir() if name.fullmatch(entry.name)]:
        try:
            if folder.suffix == ".old" and not target.exists():  # it was killed between the two renames
                os.rename(folder, target)
                continue
            lock = os.open(folder, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # it is being written
            pass
        finally:
            os.close(lock)


def _replace(staging: Path, target: Path) -> None:
    if target.is_dir():
        old = staging.with_name(f"{staging.name}.old")
        os.rename(target, old)
        os.rename(staging, target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.rename(staging, target)
