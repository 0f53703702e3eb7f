"""Conda packages by their PyPI equivalents: for machines that reach PyPI and no conda channel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from packaging.requirements import InvalidRequirement, Requirement

from toolkit.environments import conda_requirement
from toolkit.environments.conda_requirement import CondaRequirement
from toolkit.errors import EnvironmentBuildError

_INTERPRETER = ("python",)
_SAME_FOR_BOTH = ("pip", "setuptools", "wheel")


@dataclass(frozen=True)
class Substitution:
    """What the conda part of a specification comes to on PyPI.

    Args:
        pip: the requirements in pip's words.
        pairs: conda entry and what stands for it, "" where nothing needs to.
        notices: what was changed or left out, for the build log.
    """

    pip: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    notices: tuple[str, ...]


@lru_cache(maxsize=1)
def pypi_names() -> dict[str, str]:
    """PyPI's name for each conda name that is known; "" where nothing needs to be installed."""
    import yaml

    text = resources.files("toolkit.environments").joinpath("pypi_names.yml").read_text(encoding="utf-8")
    table = yaml.safe_load(text)
    return {**{name: name for name in table["same"]}, **table["renamed"], **dict.fromkeys(table["dropped"], "")}


def substitute(entries: tuple[str, ...]) -> Substitution:
    """The PyPI equivalents of conda entries; `python` itself is left to the choice of an interpreter.

    Raises:
        EnvironmentBuildError: naming the entries that have no known equivalent.
    """
    requirements = [conda_requirement.parse(entry) for entry in entries]
    wanted = [one for one in requirements if one.name not in _INTERPRETER]
    names = pypi_names()
    unknown = [one.text for one in wanted if one.name not in names]
    if unknown:
        raise EnvironmentBuildError(
            f"no PyPI equivalent is known for the conda packages {', '.join(unknown)}: move them to the 'pip:' section "
            "under their PyPI names, or leave package_source at 'conda' and use a channel that can be reached"
        )
    pairs: dict[str, str] = {}
    notices: list[str] = []
    lines: list[str] = []
    for one in wanted:
        line = in_pip_words(one, names[one.name]) if names[one.name] else ""
        lines.append(line)
        if one.name not in _SAME_FOR_BOTH:  # pip is pip: nothing was substituted
            pairs[one.text] = line
            notices += _notices(one, line)
    pip = tuple(dict.fromkeys(line for line in lines if line))
    return Substitution(pip, tuple(pairs.items()), tuple(notices))


def in_pip_words(requirement: CondaRequirement, name: str) -> str:
    """A conda requirement as a pip requirement for `name`: `numpy=1.26` is `numpy==1.26.*`.

    Raises:
        EnvironmentBuildError: the version cannot be said in pip's words.
    """
    versions = requirement.pip_versions
    line = f"{name}{versions[0]}"
    try:
        if len(versions) > 1:
            raise InvalidRequirement("pip has no 'or' between versions")
        Requirement(line)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise EnvironmentBuildError(
            f"the conda entry '{requirement.text}' has a version that pip cannot express ({reason}): write it as "
            f"'{name}>=1.2,<2', or move it to the 'pip:' section"
        ) from None
    return line


def _notices(requirement: CondaRequirement, line: str) -> list[str]:
    if not line:
        return [f"conda's '{requirement.text}' is left out: wheels from PyPI bring what they need of it"]
    notices = [f"conda's '{requirement.text}' is taken from PyPI as '{line}'"]
    if requirement.build:
        notices.append(f"the build '{requirement.build}' of '{requirement.text}' is left out: PyPI has no such builds")
    return notices
