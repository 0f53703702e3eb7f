"""The files of a migration: found, rewritten in memory, shown as a diff, written with the originals kept."""

from __future__ import annotations

import difflib
import io
import os
import shutil
import subprocess
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import UserErrorException, storage_errors
from toolkit.migration.notebook_source import Notebook
from toolkit.migration.rewrite import rewrite

_PASSED_OVER = ("node_modules", "site-packages", "__pycache__", "__pypackages__")


@dataclass(frozen=True)
class Note:
    """Something that stays as it is: in the line `line`, of the cell `cell` in a notebook, and why."""

    line: int
    reason: str
    cell: int | None = None

    def __str__(self) -> str:
        return f"cell {self.cell}, line {self.line}" if self.cell is not None else str(self.line)


@dataclass(frozen=True)
class Migrated:
    """One file that has to do with `azureml`.

    Args:
        old, new: its bytes, before and after; equal where nothing changes.
        notes: what stays as it is.
        refused: why nothing of it is changed; "" where it can be read.
    """

    path: Path
    old: bytes
    new: bytes
    encoding: str = "utf-8"
    notes: tuple[Note, ...] = ()
    refused: str = ""

    @property
    def changes(self) -> bool:
        return self.new != self.old

    def diff(self) -> str:
        """The change as a unified diff."""
        old, new = (text.decode(self.encoding).splitlines(keepends=True) for text in (self.old, self.new))
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in difflib.unified_diff(old, new, f"a/{self.path}", f"b/{self.path}")
        )


def find(paths: list[str]) -> Iterator[Path]:
    """The scripts and notebooks among and below `paths`, without those of environments and hidden folders.

    Raises:
        UserErrorException: there is no such file or folder, or it is neither a script nor a notebook.
    """
    for given in map(Path, paths):
        if given.is_dir():
            yield from _below(given)
        elif not given.exists():
            raise UserErrorException(f"there is no '{given}' (looked in {Path.cwd()})")
        elif given.suffix not in (".py", ".ipynb"):
            raise UserErrorException(f"'{given}' is neither a .py file nor an .ipynb notebook, nor a folder of them")
        else:
            yield given


def _below(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _PASSED_OVER
            and not os.path.exists(os.path.join(root, name, "pyvenv.cfg"))
        )
        yield from (Path(root, name) for name in sorted(names) if name.endswith((".py", ".ipynb")))


def migrate(path: Path) -> Migrated | None:
    """What becomes of a file; None where it has nothing of `azureml`. Nothing is written."""
    old = path.read_bytes()
    if b"azureml" not in old:
        return None
    try:
        if path.suffix == ".ipynb":
            return _notebook(path, old)
        encoding, _ = tokenize.detect_encoding(io.BytesIO(old).readline)
        text = old.decode(encoding)
        (result,) = rewrite([text])
        notes = tuple(Note(left.line, left.reason) for left in result.left)
        return Migrated(path, old, result.text.encode(encoding), encoding, notes)
    except SyntaxError as error:
        where = f"line {error.lineno}: " if error.lineno else ""
        return Migrated(path, old, old, refused=f"it is not Python that this Python reads ({where}{error.msg})")
    except ValueError as error:  # JSON, or text in another encoding than it says
        return Migrated(path, old, old, refused=str(error))


def _notebook(path: Path, old: bytes) -> Migrated:
    text = old.decode("utf-8")
    notebook = Notebook(text)
    cells = [cell for cell in notebook.cells if cell.parsed]
    try:
        results = rewrite([cell.text for cell in cells], [cell.parsed for cell in cells])
    except SyntaxError as error:
        return Migrated(
            path, old, old, refused=f"a cell of it is not Python ({error.msg}: {(error.text or '').strip()})"
        )
    changed = {cell.number: result.text for cell, result in zip(cells, results) if result.text != cell.text}
    notes = tuple(
        Note(left.line, left.reason, cell.number) for cell, result in zip(cells, results) for left in result.left
    )
    new = notebook.with_sources(changed).encode("utf-8") if changed else old
    return Migrated(path, old, new, notes=notes)


def write(files: list[Migrated]) -> dict[Path, Path]:
    """Write what changes, each file whole or not at all. The original of a file is kept beside it as `NAME.orig`, but
    where git has it as it is. Returns the originals that were kept, by file.

    Raises:
        UserErrorException: an original could not be kept, since there is a file of that name; nothing was written.
        StorageError: a file cannot be written.
    """
    kept = {file.path: file.path.with_name(f"{file.path.name}.orig") for file in files if not _in_git(file.path)}
    there = [str(original) for original in kept.values() if original.exists()]
    if there:
        raise UserErrorException(
            f"the originals would be kept as NAME.orig, and there is {', '.join(there)} already: move it away, or "
            "commit the files to git first, which needs no copies"
        )
    for file in files:
        with storage_errors(f"cannot rewrite {file.path.name}", file.path):
            if file.path in kept:
                shutil.copy2(file.path, kept[file.path])
            target = file.path.resolve()  # of a link, what it leads to
            staging = target.with_name(f".{target.name}.{os.getpid()}")
            staging.write_bytes(file.new)
            shutil.copymode(target, staging)
            staging.replace(target)
    return kept


def _in_git(path: Path) -> bool:
    """Whether git has the file exactly as it is now."""
    command = ["git", "-C", str(path.resolve().parent), "status", "--porcelain", "--ignored", "--", path.resolve().name]
    tracked = [*command[:3], "ls-files", "--error-unmatch", "--", path.resolve().name]
    try:
        status = subprocess.run(command, capture_output=True, check=True)
        return not status.stdout and subprocess.run(tracked, capture_output=True).returncode == 0
    except (OSError, subprocess.CalledProcessError):
        return False
