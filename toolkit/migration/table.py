"""What each name of `azureml` is in the toolkit, read from the files that offer the names: one table for both."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from toolkit import compat
from toolkit.inscript.names import HOMES
from toolkit.inscript.not_offered import sentence

_VERSION = "azureml._toolkit:VERSION"


@dataclass(frozen=True)
class Target:
    """Where a name is in the toolkit: `from module import name`."""

    module: str
    name: str


@dataclass(frozen=True)
class Offer:
    """What a module of `azureml` offers: homes by name, sub-modules among them, and the names that it does not have."""

    homes: dict[str, str]
    absent: tuple[str, ...]


@cache
def module(name: str) -> Offer | None:
    """The module of `azureml` with this dotted name; None where the toolkit does not offer it."""
    path = Path(compat.FOLDER, *name.split("."))
    file = next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
    if file is None:
        return None
    offer = Offer({}, ())
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "offer":
            absent = next((ast.literal_eval(keyword.value) for keyword in node.keywords), ())
            homes = ast.literal_eval(node.args[1]) if isinstance(node.args[1], ast.Dict) else {}
            offer = Offer(homes, absent)
    if path.is_dir():
        inner = {file.stem for file in path.glob("*.py")} | {one.parent.name for one in path.glob("*/__init__.py")}
        below = {one: f"{name}.{one}" for one in inner if not one.startswith("__")}
        offer = Offer({**below, **offer.homes}, offer.absent)
    return offer


def target(home: str) -> Target | None:
    """What a home of `lazy.offer` is for who writes an import; None of a sub-module."""
    if home == _VERSION:
        return Target("toolkit", "__version__")
    place, _, name = home.partition(":")
    if not name or place.startswith("azureml"):
        return None
    return Target("toolkit" if HOMES.get(name) == place else place, name)


def resolve(place: str, name: str) -> Target | str | None:
    """What `from place import name` becomes: a target, or the dotted name of a sub-module; None: it is not offered."""
    offer = module(place)
    if offer is None or name not in offer.homes:
        return None
    home = offer.homes[name]
    return target(home) or (home if ":" not in home else None)


def why_not(place: str, name: str = "") -> str:
    """What is to be said of something that the toolkit does not offer."""
    offer = module(place)
    dotted = f"{place}.{name}" if name else place
    if offer is not None and name not in offer.absent and module(dotted) is None:
        return f"{dotted} is a name that the toolkit does not have"
    return sentence(dotted)
