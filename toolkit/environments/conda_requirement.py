"""One entry of a conda `dependencies` list: `numpy=1.26`, `conda-forge::python >=3.10,<3.13`, `mkl=2021.4=h06_640`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_VERSION = r"(?:\d+!)?[0-9][A-Za-z0-9_.+]*(?:\.?\*)?|\*"
_CONSTRAINT = rf"(?:==|!=|>=|<=|~=|=|>|<)?\s*(?:{_VERSION})"
_VERSIONS = rf"{_CONSTRAINT}(?:\s*[,|]\s*{_CONSTRAINT})*"
_BUILD = r"[A-Za-z0-9_.*+]+"
_ENTRY = re.compile(
    rf"(?:(?P<channel>[^\s\[\]]+?)::)?(?P<name>{_NAME})\s*"
    rf"(?:\[(?P<bracket>[^\[\]]*)\]|(?P<version>{_VERSIONS})(?:(?:\s*=\s*|\s+)(?P<build>{_BUILD}))?)?"
)
_BRACKET_VERSION = re.compile(r"""version\s*=\s*["']?([^"'\]]+?)["']?\s*(?:,\s*[a-z_]+\s*=|$)""")
_ONE_CONSTRAINT = re.compile(r"(==|!=|>=|<=|~=|=|>|<)?\s*(.+)")


@dataclass(frozen=True)
class CondaRequirement:
    """A conda entry, taken apart.

    Args:
        text: the entry as it was written.
        name: the package, in lower case.
        version: the version part with its operators and without spaces; "" where any version will do.
        build: the build string; "" where none was given.
        channel: what stood before `::`; "" where none was given.
    """

    text: str
    name: str
    version: str = ""
    build: str = ""
    channel: str = ""

    @property
    def pip_versions(self) -> tuple[str, ...]:
        """The version part in pip's words (PEP 440), one entry for each alternative that conda joins with `|`."""
        return tuple(
            ",".join(filter(None, (_in_pip_words(one) for one in alternative.split(","))))
            for alternative in self.version.split("|")
        )


def parse(text: str) -> CondaRequirement:
    """Take a conda entry apart.

    Raises:
        ValueError: the entry is not one that conda knows.
    """
    entry = text.split(" #")[0].strip()
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise ValueError(
            f"'{text}' is not a conda requirement: write a name, and a version if it matters, "
            "as in 'numpy', 'numpy=1.26', 'numpy>=1.24,<2' or 'conda-forge::numpy'"
        )
    version, build = match["version"] or "", match["build"] or ""
    if match["bracket"] is not None:
        found = _BRACKET_VERSION.search(match["bracket"])
        version = found[1] if found else ""
    version = re.sub(r"\s+", "", version)
    return CondaRequirement(entry, match["name"].lower(), version, build, match["channel"] or "")


def _in_pip_words(constraint: str) -> str:
    match = _ONE_CONSTRAINT.fullmatch(constraint.strip())
    if match is None or match[2] == "*":
        return ""
    operator, version = match[1] or "==", match[2]
    starred = version.endswith("*")
    version = version.rstrip("*").rstrip(".")
    if operator == "=":  # conda's fuzzy pin: `=1.26` is any 1.26.x
        return f"=={version}.*"
    if starred and operator in ("==", "!="):
        return f"{operator}{version}.*"
    return f"{operator}{version}"
