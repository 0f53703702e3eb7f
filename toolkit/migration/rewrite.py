"""Rewriting: the imports of `azureml` in a script, or in the cells of a notebook, become imports of the toolkit.

Only the spans that change are replaced, so everything else stays as it was written, comments and all.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field

from toolkit.migration import table
from toolkit.migration.table import Target


@dataclass(frozen=True)
class Left:
    """Something that stays as it is: its line in the source, from 1, and why."""

    line: int
    reason: str


@dataclass
class Rewritten:
    """One source after the rewriting.

    Args:
        text: the source; the same as before where there was nothing to do.
        left: what stays, by line.
    """

    text: str
    left: list[Left] = field(default_factory=list)


@dataclass(frozen=True)
class _Edit:
    start: int
    end: int
    text: str


class _Source:
    """A source, its tree, and the edits that it is to get."""

    def __init__(self, text: str, parsed: str | None = None) -> None:
        self.text = text
        self.tree = ast.parse(text if parsed is None else parsed)
        self.edits: list[_Edit] = []
        self.left: list[Left] = []
        lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text)
        self._lines = lines
        self._starts = [0]
        for line in lines:
            self._starts.append(self._starts[-1] + len(line))

    def place(self, line: int, column: int) -> int:
        """The index in the text of a place that `ast` names: its columns count bytes of UTF-8."""
        if line > len(self._lines):
            return len(self.text)
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())

    def span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self.place(node.lineno, node.col_offset), self.place(node.end_lineno, node.end_col_offset)

    def replace(self, node: ast.stmt | ast.expr, text: str) -> None:
        start, end = self.span(node)
        if self.text[start:end] != text:
            self.edits.append(_Edit(start, end, text))

    def leave(self, node: ast.stmt | ast.expr, reason: str) -> None:
        self.left.append(Left(node.lineno, reason))

    def result(self) -> Rewritten:
        text = self.text
        for edit in sorted(self.edits, key=lambda edit: edit.start, reverse=True):
            text = text[: edit.start] + edit.text + text[edit.end :]
        return Rewritten(text, sorted(self.left, key=lambda left: left.line))


def rewrite(sources: list[str], parsed: list[str] | None = None) -> list[Rewritten]:
    """Rewrite sources that run one after the other in one namespace: a script, or the cells of a notebook.

    Args:
        parsed: for each source the same text with the lines that are not Python taken out, where it has such.

    Raises:
        SyntaxError: a source is not Python.
    """
    documents = [_Source(text, parsed[index] if parsed else None) for index, text in enumerate(sources)]
    whole = _Names(documents)
    for document in documents:
        for node in ast.walk(document.tree):
            if isinstance(node, ast.ImportFrom) and not node.level and _is_azureml(node.module):
                _from(document, node, whole)
            elif isinstance(node, ast.Import) and any(_is_azureml(alias.name) for alias in node.names):
                _import(document, node, whole)
        whole.rewrite_chains(document)
    return [document.result() for document in documents]


def _is_azureml(name: str | None) -> bool:
    return name is not None and (name == "azureml" or name.startswith("azureml."))


# -- import azureml.core, and azureml.core.VERSION -----------------------------------------------------------------


@dataclass(frozen=True)
class _Chain:
    """`azureml.core.VERSION` in the code: the node up to the name that has a target."""

    node: ast.Attribute
    target: Target | None
    dotted: str


class _Names:
    """What all sources together do with `azureml` and with modules that they have by another name."""

    def __init__(self, documents: list[_Source]) -> None:
        self.loaded = {
            node.id for document in documents for node in ast.walk(document.tree) if isinstance(node, ast.Name)
        }
        self._documents = documents
        plain = any(
            _is_azureml(alias.name) and not alias.asname
            for document in documents
            for node in ast.walk(document.tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        )
        self._chains = {
            id(document): [*_chains(document.tree, "azureml", "azureml")] if plain else [] for document in documents
        }

    def chains(self) -> list[_Chain]:
        return [chain for found in self._chains.values() for chain in found]

    def of_alias(self, name: str, place: str) -> list[_Chain]:
        """What is taken from a module of `azureml` that the sources have under another name."""
        return [chain for document in self._documents for chain in _chains(document.tree, name, place)]

    def rewrite_chains(self, document: _Source) -> None:
        for chain in self._chains[id(document)]:
            if chain.target is not None:
                document.replace(chain.node, f"{chain.target.module}.{chain.target.name}")
            else:
                document.leave(chain.node, table.why_not(*chain.dotted.rsplit(".", 1)))


def _chains(tree: ast.AST, root: str, place: str) -> Iterator[_Chain]:
    """The attributes that are reached from the name `root`, which is the module `place`."""
    inner: set[int] = set()
    for node in ast.walk(tree):  # outer attributes come before those inside them
        if not isinstance(node, ast.Attribute) or id(node) in inner:
            continue
        nodes: list[ast.Attribute] = []
        value: ast.expr = node
        while isinstance(value, ast.Attribute):
            nodes.append(value)
            value = value.value
        if not isinstance(value, ast.Name) or value.id != root:
            continue
        inner.update(map(id, nodes))
        module = place
        for attribute in reversed(nodes):
            found = table.resolve(module, attribute.attr)
            if isinstance(found, str):
                module = found
                continue
            yield _Chain(attribute, found, f"{module}.{attribute.attr}")
            break


def _import(document: _Source, node: ast.Import, names: _Names) -> None:
    """`import azureml.core`, `import azureml.core.run as r`, and others in the same statement."""
    parts: list[str] = []
    for alias in node.names:
        new = _imported(document, node, alias, names) if _is_azureml(alias.name) else None
        old = f"{alias.name} as {alias.asname}" if alias.asname else alias.name
        parts += [part for part in new or [old] if part not in parts]
    document.replace(node, f"import {', '.join(parts)}")


def _imported(document: _Source, node: ast.Import, alias: ast.alias, names: _Names) -> list[str] | None:
    """What one module of an `import` becomes; None where it stays."""
    if table.module(alias.name) is None:
        document.leave(node, table.why_not(alias.name))
        return None
    if alias.asname:
        if _same_in_toolkit(names.of_alias(alias.asname, alias.name)):
            return [f"toolkit as {alias.asname}"]
        document.leave(node, f"{alias.name} as a module has no one counterpart: import its names by `from`")
        return None
    targets = [chain.target for chain in names.chains()]
    modules = sorted({target.module for target in targets if target} | {"toolkit"})
    return [alias.name, *modules] if None in targets else modules


def _same_in_toolkit(chains: list[_Chain]) -> bool:
    """Whether all that is taken from a module has the same name in `toolkit` itself."""
    return bool(chains) and all(chain.target == Target("toolkit", chain.dotted.rsplit(".", 1)[1]) for chain in chains)


# -- from azureml.core import Workspace ----------------------------------------------------------------------------


def _from(document: _Source, node: ast.ImportFrom, names: _Names) -> None:
    assert node.module is not None
    aliases = node.names
    if aliases[0].name == "*":
        offer = table.module(node.module)
        homes = offer.homes if offer else {}
        used = sorted(name for name, home in homes.items() if ":" in home and name in names.loaded)
        if not used:
            document.leave(node, table.why_not(node.module) if offer is None else f"nothing of {node.module} is used")
            return
        aliases = [ast.alias(name) for name in used]
    new: dict[str, list[str]] = {}
    for alias in aliases:
        module, words = _one(document, node, node.module, alias, names)
        new.setdefault(module, []).append(words)
    _replace_from(document, node, aliases, new)


def _one(document: _Source, node: ast.ImportFrom, place: str, alias: ast.alias, names: _Names) -> tuple[str, str]:
    """Where one name is imported from now, and what follows `import`; a module "" is `import` alone."""
    bound = alias.asname or alias.name
    unchanged = f"{alias.name} as {alias.asname}" if alias.asname else alias.name
    found = table.resolve(place, alias.name)
    if isinstance(found, Target):
        return found.module, found.name if found.name == bound else f"{found.name} as {bound}"
    if found is None:
        document.leave(node, table.why_not(place, alias.name))
    elif _same_in_toolkit(names.of_alias(bound, found)):
        return "", f"toolkit as {bound}"
    else:
        document.leave(node, f"{found} as a module has no one counterpart: import its names by `from`")
    return place, unchanged


def _replace_from(document: _Source, node: ast.ImportFrom, aliases: list[ast.alias], new: dict[str, list[str]]) -> None:
    start, end = document.span(node)
    segment = document.text[start:end]
    old = [f"{alias.name} as {alias.asname}" if alias.asname else alias.name for alias in aliases]
    head = re.match(rf"from\s+(?={re.escape(node.module or '')}\s)", segment)
    if head and node.module and node.names[0].name != "*" and "" not in new and [*new.values()] == [old]:
        place = start + head.end()  # the module alone changes: the layout of the names stays
        if [*new] != [node.module]:
            document.edits.append(_Edit(place, place + len(node.module), next(iter(new))))
        return
    statements = [
        f"import {words}" if not module else f"from {module} import {words}"
        for module, words in (
            (module, word)
            for module in sorted(new)
            for word in (new[module] if not module else [", ".join(new[module])])
        )
    ]
    begin = document.text.rfind("\n", 0, start) + 1
    indent = document.text[begin:start]
    if indent.strip():  # another statement stands before it in this line
        document.replace(node, "; ".join(statements))
        return
    newline = "\r\n" if "\r\n" in document.text else "\n"
    document.replace(node, f"{newline}{indent}".join([*_comments(segment), *statements]))


def _comments(segment: str) -> list[str]:
    """The comments inside an import over several lines: they go before what takes its place."""
    tokens = tokenize.generate_tokens(io.StringIO(segment).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]
