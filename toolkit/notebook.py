"""Run the code cells of a notebook as a script: `python -m toolkit.notebook NOTEBOOK.ipynb`.

It knows what control notebooks have beside Python: `display`, which prints; `%matplotlib`, `%load_ext` and the like,
which mean nothing here; and `!pip install`, which it leaves to the user. All else that only IPython runs, `%%writefile`
say, is IPython's where it is installed; where it is not, the cell is named.
"""

from __future__ import annotations

import ast
import importlib.util
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
_ASSIGNED = re.compile(r"\s*\w+\s*=\s*[!%]")
_COMMAND = re.compile(r"\s*(?:!|%)\s*((?:\S*/)?(?:pip|conda|mamba)3?)\b(.*)")


@dataclass(frozen=True)
class Cell:
    """A code cell: its number among all cells, from 1, and its source as plain Python.

    Args:
        notices: what was left out of it.
        magic: whether it calls IPython.
    """

    number: int
    source: str
    notices: tuple[str, ...] = ()
    magic: bool = False


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
    magic_line = next((line for line in lines if line.strip()), "")
    if magic_line.startswith("%%"):
        return Cell(number, _by_ipython(path, number, magic_line, source), magic=True)
    by_ipython = ""
    for index, line in enumerate(lines):
        if not line.lstrip().startswith(("!", "%")) or _inside_text(source, index):
            continue
        magic, command = _MAGIC.match(line), _COMMAND.match(line)
        if command:
            notices.append(f"left out `{line.strip()}`: install what is missing before, by hand")
        elif not magic or magic[1] not in _WITHOUT_MEANING:
            by_ipython = line
            continue
        indent = line[: len(line) - len(line.lstrip())]
        lines[index] = f"{indent}pass  # {line.strip()}"
    python = "\n".join(lines) + "\n"
    assigned = not by_ipython and next((line for line in lines if _ASSIGNED.match(line)), "")
    if assigned:
        try:
            ast.parse(python)
        except SyntaxError:
            by_ipython = assigned
    if by_ipython:
        python = _by_ipython(path, number, by_ipython, python)
    return Cell(number, python, tuple(notices), bool(by_ipython))


def _by_ipython(path: str, number: int, line: str, source: str) -> str:
    """The cell as Python that calls IPython for `line`, and what else is like it.

    Raises:
        UserErrorException: there is no IPython.
    """
    if importlib.util.find_spec("IPython") is None:
        raise UserErrorException(
            f"{path}, cell {number}: `{line.strip()}` is for IPython alone, which this Python does not have: "
            "pip install ipython. Or run the notebook in Jupyter with `import toolkit.compat; "
            "toolkit.compat.enable()` in its first cell, or take the line out"
        )
    from IPython.core.inputtransformer2 import TransformerManager

    return str(TransformerManager().transform_cell(source))


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
    main.__dict__.update(__file__=os.path.abspath(path), __builtins__=__builtins__, display=_display)
    sys.modules["__main__"] = main
    sys.argv = [path, *arguments]
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    if any(cell.magic for cell in cells):
        _start_ipython(main)
    for cell in cells:
        for notice in cell.notices:
            print(f"toolkit: cell {cell.number}: {notice}", file=sys.stderr)
        name = f"{path} cell {cell.number}"
        linecache.cache[name] = (len(cell.source), None, cell.source.splitlines(keepends=True), name)
        _show(_execute(cell.source, name, main.__dict__))


def _start_ipython(main: types.ModuleType) -> None:
    """Let `get_ipython()` give a shell that works in `main`, and keeps no history."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    quiet = Config({"HistoryManager": {"enabled": False}})
    InteractiveShell.instance(config=quiet, user_module=main, user_ns=main.__dict__)
    sys.modules["__main__"] = main


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


def _display(*values: object, **options: object) -> None:
    """What notebooks have without an import, in plain text."""
    for value in values:
        print(value)


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
