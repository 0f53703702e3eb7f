"""Wheels that a workspace keeps for its environments: `Environment.add_private_pip_wheel`."""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path

from toolkit.errors import UserErrorException, storage_errors


def add(environments: Path, path: str | os.PathLike[str], exist_ok: bool) -> str:
    """Keep a wheel below the folder of a workspace's environments; its URL.

    Raises:
        UserErrorException: no such wheel, or another of this name is there.
        StorageError: the disk is full.
    """
    wheel = Path(path)
    if not wheel.is_file() or wheel.suffix != ".whl":
        raise UserErrorException(f"there is no wheel {wheel} (looked in {Path.cwd()}): build one with `pip wheel .`")
    kept = environments / ".wheels" / wheel.name
    if kept.exists() and not exist_ok and not filecmp.cmp(wheel, kept, shallow=False):
        raise UserErrorException(
            f"the workspace has another wheel {wheel.name} already, {kept}: give yours a new version, or take the one "
            "that is there with exist_ok=True"
        )
    with storage_errors("cannot keep the wheel", kept):
        kept.parent.mkdir(parents=True, exist_ok=True)
        if not kept.exists():
            staging = kept.with_name(f".{wheel.name}-{os.getpid()}")
            shutil.copyfile(wheel, staging)
            staging.replace(kept)
    return kept.absolute().as_uri()
