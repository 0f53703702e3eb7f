"""`toolkit migrate`: the azureml imports of scripts and notebooks rewritten to the toolkit's, with the diff first."""

from __future__ import annotations

import json
import sys

from toolkit.migration import files
from toolkit.migration.files import Migrated


def run(paths: list[str], write: bool, as_json: bool) -> int:
    """Show what changes, or write it. Returns 1 where a file could not be read, else 0."""
    found = [migrated for path in files.find(paths) if (migrated := files.migrate(path)) is not None]
    changed = [file for file in found if file.changes]
    originals = files.write(changed) if write else {}
    if as_json:
        print(json.dumps([_facts(file, str(originals.get(file.path, "")), write) for file in found]))
    else:
        _show(found, write)
        kept = [str(original) for original in originals.values()]
        if kept:
            print(f"The originals that git does not have are kept: {', '.join(kept)}")
    return 1 if any(file.refused for file in found) else 0


def _facts(file: Migrated, original: str, written: bool) -> dict[str, object]:
    return {
        "file": str(file.path),
        "changes": file.changes,
        "written": written and file.changes,
        "original": original or None,
        "diff": file.diff() if file.changes else "",
        "left": [{"line": note.line, "cell": note.cell, "reason": note.reason} for note in file.notes],
        "refused": file.refused or None,
    }


def _show(found: list[Migrated], written: bool) -> None:
    changed = [file for file in found if file.changes]
    if not written:
        for file in changed:
            _print_diff(file.diff())
    noted = [file for file in found if file.notes or file.refused]
    if noted:
        print("\nLeft as it is:" if changed and not written else "Left as it is:")
    for file in noted:
        if file.refused:
            print(f"  {file.path}: nothing is changed: {file.refused}")
        for note in file.notes:
            print(f"  {file.path}:{note}: {note.reason}")
    if noted:
        print("What still imports azureml runs by `toolkit exec`")
    if not found:
        print("Nothing imports azureml there")
    elif not changed:
        print("Nothing to rewrite")
    elif written:
        print(f"Rewrote {len(changed)} files: {', '.join(str(file.path) for file in changed)}")
    else:
        print(f"\n{len(changed)} files would change: `toolkit migrate --write` writes them")


def _print_diff(diff: str) -> None:
    if not sys.stdout.isatty():
        print(diff, end="")
        return
    from rich.console import Console
    from rich.syntax import Syntax

    Console().print(Syntax(diff, "diff", background_color="default"))
