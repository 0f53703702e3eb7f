"""What a parameter of a sweep may be: choices and distributions, as `[name, [numbers]]`, the form SDK v1 gave them.

`value` turns a number between 0 and 1 into a value of a distribution, so that one source of such numbers serves all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

from toolkit.errors import UserErrorException

Expression = list[Any]
_ARGUMENTS = {
    "randint": ("upper",),
    "uniform": ("min_value", "max_value"),
    "quniform": ("min_value", "max_value", "q"),
    "loguniform": ("min_value", "max_value"),
    "qloguniform": ("min_value", "max_value", "q"),
    "normal": ("mu", "sigma"),
    "qnormal": ("mu", "sigma", "q"),
    "lognormal": ("mu", "sigma"),
    "qlognormal": ("mu", "sigma", "q"),
}
_EDGE = 1e-12  # a normal distribution has no value at 0 and 1


def choice(*options: Any) -> Expression:
    """One of the options: `choice(1, 2, 3)`, `choice([1, 2, 3])` or `choice(range(1, 4))`."""
    given = options[0] if len(options) == 1 else options
    values = list(given) if isinstance(given, (list, tuple, range, set)) or _is_array(given) else [given]
    if not values:
        raise UserErrorException("choice() has no options: give some, as in choice(1, 2, 3)")
    return ["choice", [[_plain(value) for value in values]]]


def randint(upper: int) -> Expression:
    """A whole number from 0 on, below `upper`."""
    return _made("randint", upper)


def uniform(min_value: float, max_value: float) -> Expression:
    """A number between `min_value` and `max_value`, all equally likely."""
    return _made("uniform", min_value, max_value)


def quniform(min_value: float, max_value: float, q: float) -> Expression:
    """round(uniform(min_value, max_value) / q) * q"""
    return _made("quniform", min_value, max_value, q)


def loguniform(min_value: float, max_value: float) -> Expression:
    """exp(uniform(min_value, max_value)): the logarithm is uniform, and the bounds are logarithms."""
    return _made("loguniform", min_value, max_value)


def qloguniform(min_value: float, max_value: float, q: float) -> Expression:
    """round(exp(uniform(min_value, max_value)) / q) * q"""
    return _made("qloguniform", min_value, max_value, q)


def normal(mu: float, sigma: float) -> Expression:
    """A number of the normal distribution with mean `mu` and standard deviation `sigma`."""
    return _made("normal", mu, sigma)


def qnormal(mu: float, sigma: float, q: float) -> Expression:
    """round(normal(mu, sigma) / q) * q"""
    return _made("qnormal", mu, sigma, q)


def lognormal(mu: float, sigma: float) -> Expression:
    """exp(normal(mu, sigma))"""
    return _made("lognormal", mu, sigma)


def qlognormal(mu: float, sigma: float, q: float) -> Expression:
    """round(exp(normal(mu, sigma)) / q) * q"""
    return _made("qlognormal", mu, sigma, q)


def _made(name: str, *given: Any) -> Expression:
    expression = [name, [_plain(value) for value in given]]
    _check_numbers(name, expression[1])
    return expression


def checked(parameter: str, expression: object) -> Expression:
    """The expression of a parameter, when it is one.

    Raises:
        UserErrorException: it is not what one of the functions here gives.
    """
    if not (
        isinstance(expression, (list, tuple)) and len(expression) == 2 and isinstance(expression[1], (list, tuple))
    ):
        raise UserErrorException(
            f"the parameter '{parameter}' is {expression!r}: give it an expression, as in choice(1, 2) or uniform(0, 1)"
        )
    name, arguments = expression
    if name == "choice":
        return choice(*arguments)
    if name not in _ARGUMENTS:
        known = ", ".join(("choice", *_ARGUMENTS))
        raise UserErrorException(f"the parameter '{parameter}' is of the kind {name!r}; known are {known}")
    if len(arguments) != len(_ARGUMENTS[name]):
        raise UserErrorException(f"the parameter '{parameter}': {name} takes {', '.join(_ARGUMENTS[name])}")
    return _made(str(name), *arguments)


def _check_numbers(name: str, given: Sequence[Any]) -> None:
    named = dict(zip(_ARGUMENTS[name], given))
    for argument, number in named.items():
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
            raise UserErrorException(f"{name}({', '.join(map(repr, given))}): {argument} must be a number")
    if named.get("max_value", 1) <= named.get("min_value", 0) and "max_value" in named:
        raise UserErrorException(f"{name}({', '.join(map(repr, given))}): max_value must be above min_value")
    for argument in ("q", "sigma", "upper"):
        if named.get(argument, 1) <= 0:
            raise UserErrorException(f"{name}({', '.join(map(repr, given))}): {argument} must be above 0")


def options_of(expression: Expression) -> list[Any] | None:
    """The values that an expression can have, or None for a distribution."""
    name, arguments = expression
    if name == "choice":
        return list(arguments[0])
    return list(range(int(arguments[0]))) if name == "randint" else None


def value(expression: Expression, share: float) -> Any:
    """The value of a distribution below which `share` (0 to 1) of its values lie."""
    name, arguments = expression
    numbers = [float(number) for number in arguments]
    if name.endswith("uniform"):
        drawn = numbers[0] + share * (numbers[1] - numbers[0])
    else:
        drawn = NormalDist(numbers[0], numbers[1]).inv_cdf(min(max(share, _EDGE), 1 - _EDGE))
    if "log" in name:
        drawn = math.exp(drawn)
    if name.startswith("q"):
        step = arguments[2]
        drawn = round(drawn / step) * step
        return _tidy(drawn, step)
    return drawn


def _tidy(drawn: float, step: float) -> float:
    """A multiple of 0.1 without the dust of binary fractions: 0.3 and not 0.30000000000000004."""
    return float(f"{drawn:.12g}") if isinstance(step, float) else drawn


def _is_array(value: object) -> bool:
    return hasattr(value, "tolist") and getattr(value, "ndim", 0) == 1


def _plain(value: Any) -> Any:
    """A value that JSON can hold, numpy's numbers included.

    Raises:
        UserErrorException: it is none.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, tuple):
        value = list(value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    raise UserErrorException(f"{value!r} cannot be the value of a parameter: give text, numbers or lists of them")
