"""A user's own network class: "module:Class" in a folder, whose Python files a model directory takes along."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from toolkit.inscript.errors import UserErrorException

_MOST_FILES, _MOST_BYTES = 2000, 50_000_000
_NOT_SOURCES = {"__pycache__", "node_modules", "site-packages", "outputs", "logs"}


def parse(name: str) -> tuple[str, str] | None:
    """The module and the class of "module:Class"; None where it is written otherwise."""
    found = re.fullmatch(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)", name)
    return (found[1], found[2]) if found else None


def copy_sources(source: Path, target: Path, module: str) -> None:
    """Copy the Python files below a folder; hidden folders, virtual environments and the like stay behind.

    Raises:
        UserErrorException: no such folder, no such module in it, or more than belongs into a model.
    """
    if not source.is_dir():
        raise UserErrorException(f"source_directory '{source}' is no folder: give the one with the module '{module}'")
    place = source.joinpath(*module.split("."))
    if not place.with_suffix(".py").is_file() and not (place / "__init__.py").is_file():
        has = ", ".join(sorted(path.stem for path in source.glob("*.py"))[:10]) or "none"
        raise UserErrorException(f"there is no module '{module}' in {source}; its modules: {has}")
    files, size = 0, 0
    for path in _python_files(source):
        files, size = files + 1, size + path.stat().st_size
        if files > _MOST_FILES or size > _MOST_BYTES:
            raise UserErrorException(
                f"{source} has more than {_MOST_FILES} Python files or {_MOST_BYTES // 10**6} MB of them, and all "
                "would be kept with the model: put the network's modules into a folder of their own and give that"
            )
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _python_files(root: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _NOT_SOURCES
            and not os.path.exists(os.path.join(parent, name, "pyvenv.cfg"))
        )
        yield from (Path(parent, name) for name in sorted(files) if name.endswith(".py"))
