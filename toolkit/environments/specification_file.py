"""Conda specifications and pip requirements as files, read with the place of every mistake."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from toolkit.environments import conda_requirement, requirements_file
from toolkit.environments.spec import CHANNEL_PRIORITIES, EnvironmentSpec, is_variable
from toolkit.errors import EnvironmentSpecificationError

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node

KNOWN_KEYS = ("name", "channels", "dependencies", "prefix", "variables", "channel_priority")
_EXAMPLE = "as in:\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.10\n  - pip:\n      - numpy"


def load_conda_specification(path: str | os.PathLike[str]) -> EnvironmentSpec:
    """The environment of a conda specification (`environment.yml`); its `name` and `prefix` are not used.

    Raises:
        EnvironmentSpecificationError: with the file, the line, what is wrong there and what to write instead.
    """
    file = _path(path)
    return parse_conda_specification(requirements_file.read_text(file, "conda specification"), file)


def parse_conda_specification(text: str, file: Path) -> EnvironmentSpec:
    """The environment of the text of a conda specification.

    Args:
        file: what messages name, and beside which the files that the text includes are looked for.

    Raises:
        EnvironmentSpecificationError: as `load_conda_specification`.
    """
    root = _compose(file, text)
    if not _is(root, "map"):
        _refuse(file, root, f"a conda specification is a mapping with 'dependencies', {_EXAMPLE}")
    reader = _Reader(file)
    values: dict[str, Node] = {}
    for key, value in reader.pairs(root):
        if key.value not in KNOWN_KEYS:
            known = ", ".join(KNOWN_KEYS)
            _refuse(file, key, f"unknown key '{key.value}'; a conda specification has the keys {known}")
        values[key.value] = value
    if "dependencies" not in values:
        _refuse(file, root, f"there is no 'dependencies', {_EXAMPLE}")
    conda, pip = reader.dependencies(values["dependencies"])
    requirements = reader.pip_section(pip)
    return EnvironmentSpec(
        channels=tuple(reader.strings(values.get("channels"), "channels")),
        conda=tuple(conda),
        pip=requirements.lines,
        constraints=requirements.constraints,
        variables=tuple(sorted(reader.variables(values.get("variables")))),
        channel_priority=reader.priority(values.get("channel_priority")),
    )


def load_pip_requirements(path: str | os.PathLike[str], pip_version: str | None = None) -> EnvironmentSpec:
    """The environment of a requirements file: its lines under pip, and the conda entry `pip` on any Python.

    Args:
        pip_version: of pip itself, as in "24.0"; None for any.

    Raises:
        EnvironmentSpecificationError: with the file, the line, what is wrong there and what to write instead.
    """
    requirements = requirements_file.read(_path(path))
    pip = _conda_entry(f"pip={pip_version}" if pip_version else "pip", "pip_version")
    return EnvironmentSpec(conda=(pip,), pip=requirements.lines, constraints=requirements.constraints)


def validate(spec: EnvironmentSpec) -> None:
    """Check the entries of a specification that was made in code.

    Raises:
        EnvironmentSpecificationError: an entry is not one that conda or pip knows.
    """
    for entry in spec.conda:
        _conda_entry(entry, "the environment's conda packages")
    for line in (*spec.pip, *spec.constraints):
        requirements_file.check(line, "the environment's pip packages")


@dataclass(frozen=True)
class _Reader:
    """Takes the parts of a specification out of YAML nodes, which still know their lines."""

    file: Path

    def pairs(self, node: Node) -> list[tuple[Node, Node]]:
        if TYPE_CHECKING:
            assert isinstance(node, MappingNode)
        seen: set[str] = set()
        for key, _ in node.value:
            _check_tag(self.file, key)
            if not _is(key, "str"):
                _refuse(self.file, key, f"the key {_shown(key)} is not a text")
            if key.value in seen:
                _refuse(self.file, key, f"the key '{key.value}' stands here for the second time; keep one of them")
            seen.add(key.value)
        return list(node.value)

    def strings(self, node: Node | None, name: str) -> Iterator[str]:
        for item in self.items(node, name):
            if not _is(item, "str") or not item.value.strip():
                _refuse(self.file, item, f"an entry of '{name}' is {_shown(item)}, where a text belongs")
            yield item.value.strip()

    def items(self, node: Node | None, name: str) -> list[Node]:
        if node is None or _is(node, "null"):
            return []
        _check_tag(self.file, node)
        if not _is(node, "seq"):
            _refuse(self.file, node, f"'{name}' is {_shown(node)}, where a list belongs: one '- entry' a line")
        for item in node.value:
            _check_tag(self.file, item)
        return list(node.value)

    def dependencies(self, node: Node) -> tuple[list[str], Node | None]:
        """The conda entries, and the node of the pip section where there is one."""
        conda: list[str] = []
        pip: Node | None = None
        for item in self.items(node, "dependencies"):
            if _is(item, "str"):
                conda.append(_conda_entry(item.value, _place(self.file, item)))
                if len(_pythons(conda)) > 1:
                    first, second = _pythons(conda)
                    _refuse(
                        self.file, item, f"'{second}' stands beside '{first}'; write what is asked of Python as one "
                        "entry, as in 'python>=3.10,<3.13'"
                    )  # fmt: skip
                continue
            pairs = self.pairs(item) if _is(item, "map") else []
            if len(pairs) != 1 or pairs[0][0].value != "pip":
                name = pairs[0][0].value if pairs else "name"
                _refuse(
                    self.file, item, f"an entry of 'dependencies' is {_shown(item)}, where a text such as "
                    f"'{name}=1.2' or a 'pip:' section belongs"
                )  # fmt: skip
            if pip is not None:
                _refuse(self.file, item, "a second 'pip:' section; put all pip packages under one")
            pip = pairs[0][1]
        return conda, pip

    def pip_section(self, node: Node | None) -> requirements_file.Requirements:
        found = requirements_file.Requirements()
        for item in self.items(node, "pip"):
            if not _is(item, "str"):
                _refuse(self.file, item, f"an entry of 'pip' is {_shown(item)}, where a text belongs")
            found += requirements_file.one_line(item.value.strip(), self.file, item.start_mark.line + 1)
        return found

    def variables(self, node: Node | None) -> Iterator[tuple[str, str]]:
        if node is None or _is(node, "null"):
            return
        _check_tag(self.file, node)
        if not _is(node, "map"):
            _refuse(self.file, node, f"'variables' is {_shown(node)}, where a mapping of names to values belongs")
        for key, value in self.pairs(node):
            _check_tag(self.file, value)
            if _is(value, "map") or _is(value, "seq"):
                _refuse(self.file, value, f"the variable '{key.value}' is {_shown(value)}, where a text belongs")
            if not is_variable(key.value, value.value):
                _refuse(
                    self.file, key, f"'{key.value}' cannot be a variable: a name has no '=' in it, and is not empty"
                )
            yield key.value, value.value

    def priority(self, node: Node | None) -> str:
        if node is None or _is(node, "null"):
            return ""
        if _shown(node).strip("'") not in CHANNEL_PRIORITIES[1:]:
            _refuse(self.file, node, f"channel_priority is {_shown(node)}: it can be strict, flexible or disabled")
        return str(node.value)


def _compose(file: Path, text: str) -> Node:
    import yaml

    for number, line in enumerate(text.splitlines(), 1):
        if "\t" in line[: len(line) - len(line.lstrip())]:
            raise EnvironmentSpecificationError(
                f"{file}, line {number}: a tab in the indentation, which YAML does not allow; use spaces"
            )
    try:
        node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise EnvironmentSpecificationError(
            f"{file}{where}: this is not YAML: {problem}; look at the indentation and the quotes there"
        ) from error
    if node is None:
        raise EnvironmentSpecificationError(f"{file} is empty; a conda specification has 'dependencies', {_EXAMPLE}")
    _check_tag(file, node)
    return node  # type: ignore[no-any-return]


def _path(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise EnvironmentSpecificationError(
            f"the file of a specification is {path!r}: give its path, as in 'environment.yml'"
        )
    return Path(path)


def _pythons(entries: list[str]) -> list[str]:
    return [entry for entry in entries if conda_requirement.parse(entry).name == "python"]


def _conda_entry(text: str, place: str) -> str:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        requirement = conda_requirement.parse(text)
    except ValueError as error:
        raise EnvironmentSpecificationError(f"{place}: {error}") from None
    if requirement.name == "python":
        try:
            [SpecifierSet(versions) for versions in requirement.pip_versions]
        except InvalidSpecifier:
            raise EnvironmentSpecificationError(
                f"{place}: '{text}' is not a version of Python; write 'python=3.10' or 'python>=3.10,<3.13'"
            ) from None
    return text.strip()


def _is(node: Node, kind: str) -> bool:
    return bool(node.tag == f"tag:yaml.org,2002:{kind}")


def _check_tag(file: Path, node: Node) -> None:
    if node.tag.split(":")[-1] not in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge"):
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        _refuse(file, node, f"the tag '{tag}' would run code or make objects, and is refused; write a plain value")


def _shown(node: Node) -> str:
    kinds = {"map": "a mapping", "seq": "a list", "null": "empty", "str": f"'{node.value}'"}
    kind = node.tag.split(":")[-1]
    return kinds.get(kind) or f"the {kind} {node.value}"


def _place(file: Path, node: Node) -> str:
    return f"{file}, line {node.start_mark.line + 1}"


def _refuse(file: Path, node: Node, what: str) -> NoReturn:
    raise EnvironmentSpecificationError(f"{_place(file, node)}: {what}")
