"""Notebooks as text: their code cells out, the rewritten ones in, and everything else as it was."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from typing import Any

_LAYOUTS: tuple[dict[str, Any], ...] = tuple(
    {"indent": indent, "ensure_ascii": ascii_only, "separators": separators}
    for indent in (1, 2, 4, "\t", None)
    for ascii_only in (False, True)
    for separators in ((",", ": "), (", ", ": "), (",", ":"))
)
_NOT_PYTHON = re.compile(r"\s*(?:[%!]|\?|\w[\w.]*\?\s*$)")
_PYTHON_CELL = re.compile(r"\s*%%(?:time|timeit|capture|prun|writefile\s+(?:-a\s+)?\S+\.py\s*$)")


@dataclass
class Cell:
    """A code cell: its number among all cells, from 1; its source; and the same with what is not Python taken out."""

    number: int
    text: str
    parsed: str


class Notebook:
    """A notebook.

    Raises:
        ValueError: it is no notebook in nbformat 4, or it is not of Python.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._document = json.loads(text)
        try:
            self._cells = self._document["cells"]
            spec = self._document.get("metadata", {}).get("kernelspec", {})
            self.cells = [
                Cell(number, source, masked(source))
                for number, cell in enumerate(self._cells, 1)
                if cell["cell_type"] == "code"
                for source in ["".join(cell["source"])]
            ]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is not a notebook in nbformat 4 ({type(error).__name__}: {error})") from error
        if (spec.get("language") or "python").lower() != "python":
            raise ValueError(f"it is a notebook of {spec['language']}")

    def with_sources(self, sources: dict[int, str]) -> str:
        """The text of the notebook with these sources, by the number of their cells."""
        layout = next((one for one in _LAYOUTS if self._dumped(one) == self._text.rstrip("\n")), _LAYOUTS[0])
        ending = self._text[len(self._text.rstrip("\n")) :]
        for number, source in sources.items():
            cell = self._cells[number - 1]
            cell["source"] = source.splitlines(keepends=True) if isinstance(cell["source"], list) else source
        return self._dumped(layout) + ending

    def _dumped(self, layout: dict[str, Any]) -> str:
        return json.dumps(self._document, **layout)


def masked(source: str) -> str:
    """A cell with each line that is IPython's replaced by `pass`; "" where the whole cell is another language's."""
    lines = source.splitlines(keepends=True)
    first = next((index for index, line in enumerate(lines) if line.strip()), None)
    if first is not None and lines[first].lstrip().startswith("%%"):
        if not _PYTHON_CELL.match(lines[first]):
            return ""
        lines[first] = "pass\n"
    try:
        compile(
            "".join(lines), "cell", "exec", flags=ast.PyCF_ONLY_AST, dont_inherit=True
        )  # only to see whether it is Python
        return "".join(lines)
    except (SyntaxError, ValueError):
        pass
    for index, line in enumerate(lines):
        if _NOT_PYTHON.match(line):
            indent = line[: len(line) - len(line.lstrip())]
            lines[index] = f"{indent}pass\n"
    return "".join(lines)
