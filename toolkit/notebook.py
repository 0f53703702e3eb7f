"""Run the code cells of a notebook as a script: `python -m toolkit.notebook NOTEBOOK.ipynb`.

It knows what control notebooks have beside Python: `%matplotlib`, `%load_ext` and the like, which mean nothing here,
and `!pip install`, which it leaves to the user. For all else that only IPython runs, it says which cell that is.
"""

from __future__ import annotations

import ast
import json
import linecache
import os
import re
import sys
import traceback
import types
from dataclasses import dataclass

from toolkit.errors import UserErrorException

_WITHOUT_MEANING = (
    "alias", "autoreload", "automagic", "colors", "config", "load_ext", "matplotlib", "pylab", "reload_ext",
)  # fmt: skip
_MAGIC = re.compile(r"\s*%(\w+)")
_COMMAND = re.compile(r"\s*(?:!|%)\s*((?:\S*/)?(?:pip|conda|mamba)3?)\b(.*)")


@dataclass(frozen=True)
class Cell:
    """A code cell: its number among all cells, from 1, and its source as plain Python.

    Args:
        notices: what was left out of it.
    """

    number: int
    source: str
    notices: tuple[str, ...] = ()


def read(path: str) -> list[Cell]:
    """The code cells of a notebook.

    Raises:
        UserErrorException: it is no notebook of Python, or a cell has something that only IPython runs.
    """
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        cells = document["cells"]
        sources = [
            (number, "".join(cell["source"])) for number, cell in enumerate(cells, 1) if cell["cell_type"] == "code"
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise UserErrorException(
            f"{path} is not a notebook that can be read (nbformat 4 is): {type(error).__name__}: {error}"
        ) from error
    language = document.get("metadata", {}).get("kernelspec", {}).get("language") or "python"
    if language.lower() != "python":
        raise UserErrorException(f"{path} is a notebook of {language}: Python is what can be run here")
    return [_cell(path, number, source) for number, source in sources]


def _cell(path: str, number: int, source: str) -> Cell:
    notices = []
    lines = source.splitlines()
    for index, line in enumerate(lines):
        if not line.lstrip().startswith(("!", "%")) or _inside_text(source, index):
            continue
        magic, command = _MAGIC.match(line), _COMMAND.match(line)
        if command:
            notices.append(f"left out `{line.strip()}`: install what is missing before, by hand")
        elif not magic or magic[1] not in _WITHOUT_MEANING:
            raise UserErrorException(
                f"{path}, cell {number}: `{line.strip()}` is for IPython alone, and `toolkit exec` runs plain Python. "
                "Run the notebook in Jupyter with `import toolkit.compat; toolkit.compat.enable()` in its first cell, "
                "or take the line out"
            )
        indent = line[: len(line) - len(line.lstrip())]
        lines[index] = f"{indent}pass  # {line.strip()}"
    return Cell(number, "\n".join(lines) + "\n", tuple(notices))


def _inside_text(source: str, index: int) -> bool:
    """Whether a line stands inside a text or a call of several lines, where % and ! are Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return False
    return any(
        getattr(node, "lineno", index + 1) <= index < (getattr(node, "end_lineno", None) or 0)
        for node in ast.walk(tree)
    )


def run(path: str, arguments: list[str]) -> None:
    """Run a notebook as `__main__`, in its own folder's import path; nothing is run where a cell cannot be.

    Raises:
        UserErrorException: see `read`. What a cell raises passes through.
    """
    cells = read(path)
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=os.path.abspath(path), __builtins__=__builtins__)
    sys.modules["__main__"] = main
    sys.argv = [path, *arguments]
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    for cell in cells:
        for notice in cell.notices:
            print(f"toolkit: cell {cell.number}: {notice}", file=sys.stderr)
        name = f"{path} cell {cell.number}"
        linecache.cache[name] = (len(cell.source), None, cell.source.splitlines(keepends=True), name)
        _show(_execute(cell.source, name, main.__dict__))


def _execute(source: str, name: str, namespace: dict[str, object]) -> object:
    """Run a cell; the value of its last line, where that is an expression that a notebook would show."""
    tree = ast.parse(source, name)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(tree, name, "exec"), namespace)
        return None
    exec(compile(ast.Module(tree.body[:-1], []), name, "exec"), namespace)
    value: object = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
    return None if source.rstrip().endswith(";") else value


def _show(value: object) -> None:
    if value is not None:
        print(value)


def _show_error(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    """As Python shows an error that nobody caught, from the cell on, with the lines of the cell."""
    start = trace
    while start is not None and " cell " not in start.tb_frame.f_code.co_filename:
        start = start.tb_next
    traceback.print_exception(kind, error, start or trace)


if __name__ == "__main__":
    sys.excepthook = _show_error
    try:
        run(sys.argv[1], sys.argv[2:])
    except UserErrorException as caught:
        print(f"toolkit: {caught}", file=sys.stderr)
        sys.exit(2)
