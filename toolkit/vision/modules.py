"""The modules by name: each is one function, and its signature and docstring are also its command line and its step."""

from __future__ import annotations

import argparse
import importlib
import inspect
import numbers
import os
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from toolkit.inscript.errors import UserErrorException

_NUMBERS = {int: numbers.Integral, float: numbers.Real}
_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "text or a path"}
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a module.

    Attributes:
        kind: bool, int, float or str; a path is a str.
        choices: the values it may have, if they are few.
        optional: whether None stands for "not given".
    """

    name: str
    kind: type
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    optional: bool = False

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    def takes(self, value: Any) -> bool:
        """Whether a value is of the parameter's type."""
        if value is None:
            return self.optional
        if self.choices:
            return value in self.choices
        if self.kind in (int, float):
            return isinstance(value, _NUMBERS[self.kind]) and not isinstance(value, bool)
        return isinstance(value, (str, os.PathLike) if self.kind is str else self.kind)

    @property
    def is_path(self) -> bool:
        return self.name.endswith(("_path", "_directory"))

    @property
    def is_output(self) -> bool:
        """Whether it names what the module writes. Modules list what they read first, and say "written" of the rest."""
        return self.is_path and " is written" in self.help


@dataclass(frozen=True)
class Module:
    """One of the designer's modules.

    Attributes:
        name: its command.
        title: what the designer calls it.
        function: "module:name" of the function, imported when it is used.
    """

    name: str
    title: str
    function: str

    def load(self) -> Callable[..., Any]:
        home, _, name = self.function.partition(":")
        function: Callable[..., Any] = getattr(importlib.import_module(f"toolkit.vision.{home}"), name)
        return function

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.load()) or "").split("\n\n")[0].replace("\n", " ")

    def parameters(self) -> list[Parameter]:
        """Those that have a plain value; a function may take further ones, such as a progress bar."""
        function = self.load()
        hints = typing.get_type_hints(function)
        helps = _argument_help(inspect.getdoc(function) or "")
        found = []
        for name, given in inspect.signature(function).parameters.items():
            if name == "progress":
                continue
            kind, choices, optional = _plain(hints[name])
            found.append(Parameter(name, kind, given.default, helps.get(name, ""), choices, optional))
        return found

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        for one in self.parameters():
            shown = "" if one.required or one.default is None else f" (default: {one.default})"
            more: dict[str, Any] = {"choices": one.choices} if one.choices else {"type": one.kind}
            if one.kind is bool:
                more = {"type": _truth, "nargs": "?", "const": True, "metavar": "true|false"}
            elif not one.choices:
                more["metavar"] = "PATH" if one.is_path else one.kind.__name__.upper()
            if not one.required:
                more["default"] = one.default
            help_text = (one.help + shown).replace("%", "%%")
            parser.add_argument(one.flag, dest=one.name, required=one.required, help=help_text, **more)

    def check(self, values: dict[str, Any]) -> None:
        """Refuse values of another type than the parameter's, and those that are none of its choices.

        Raises:
            UserErrorException: naming the parameter.
        """
        for one in self.parameters():
            if one.name in values and not one.takes(values[one.name]):
                wanted = f"one of {', '.join(one.choices)}" if one.choices else _WORDS[one.kind]
                raise UserErrorException(f"{self.title}: {one.name} is {values[one.name]!r}; it must be {wanted}")

    def call(self, values: dict[str, Any], progress: Any = None) -> Any:
        """Do it; `progress` is given to functions that show some."""
        function = self.load()
        if "progress" in inspect.signature(function).parameters:
            return function(**values, progress=progress)
        return function(**values)

    def arguments(self, values: dict[str, Any]) -> list[str]:
        """The command line for these values: those that are not the default.

        Raises:
            TypeError: a parameter is missing or unknown.
        """
        bound = inspect.signature(self.load()).bind(**values)
        self.check(values)
        words: list[str] = []
        for one in self.parameters():
            if one.name in bound.arguments and bound.arguments[one.name] not in (None, one.default):
                words += [one.flag, str(bound.arguments[one.name])]
        return words


MODULES = {
    module.name: module
    for module in (
        Module("convert-to-image-directory", "Convert to Image Directory", "data.convert:convert_to_image_directory"),
        Module(
            "init-image-transformation", "Init Image Transformation", "data.transformation:init_image_transformation"
        ),
        Module("apply-image-transformation", "Apply Image Transformation", "data.apply:apply_image_transformation"),
        Module("split-image-directory", "Split Image Directory", "data.split:split_image_directory"),
        Module("densenet", "DenseNet", "networks.untrained:densenet"),
        Module("resnet", "ResNet", "networks.untrained:resnet"),
        Module("network", "Network", "networks.untrained:network"),
        Module("train-pytorch-model", "Train PyTorch Model", "training.train:train_pytorch_model"),
        Module("score-image-model", "Score Image Model", "scoring.score:score_image_model"),
        Module("evaluate-model", "Evaluate Model", "scoring.evaluate:evaluate_model"),
    )
}


def _plain(hint: Any) -> tuple[type, tuple[str, ...], bool]:
    """The type of a parameter's value, its choices, and whether it may be None."""
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    kinds = [part for part in parts if part is not type(None)]
    if typing.get_origin(kinds[0]) is typing.Literal:
        return str, tuple(typing.get_args(kinds[0])), False
    kind = kinds[0] if kinds[0] in (bool, int, float, str) else str
    return kind, (), len(kinds) < len(parts)


def _argument_help(docstring: str) -> dict[str, str]:
    """The entries of a docstring's "Args:" by name."""
    found = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", docstring, re.MULTILINE | re.DOTALL)
    if found is None:
        return {}
    entries = re.findall(r"^    (\w[\w, ]*): (.*?)(?=^    \w|\Z)", found[1], re.MULTILINE | re.DOTALL)
    return {name.strip(): " ".join(text.split()) for names, text in entries for name in names.split(",")}


def _truth(text: str) -> bool:
    if text.lower() in _YES:
        return True
    if text.lower() in _NO:
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
