"""The ways a sweep chooses values: grid, random, Bayesian."""

from __future__ import annotations

import math
from typing import Any

from toolkit.errors import UserErrorException
from toolkit.sweeps import expressions
from toolkit.sweeps.expressions import Expression


class HyperParameterSampling:
    """A space of parameters, and how values are drawn from it: one of the classes below.

    Args:
        parameter_space: expressions by parameter, as in {"--lr": uniform(0.001, 0.1)}.
        properties: "seed", a whole number, makes a sweep repeatable; without one it is drawn.

    Raises:
        UserErrorException: an expression that is none, or that this way of sampling does not take.
    """

    SAMPLING_NAME = ""
    TAKES: tuple[str, ...] = ()  # the expressions, or all of them

    def __init__(self, parameter_space: dict[str, Any], properties: dict[str, Any] | None = None) -> None:
        if not isinstance(parameter_space, dict) or not parameter_space:
            raise UserErrorException(
                f"the parameter space is {parameter_space!r}: it is a dictionary, as in {{'--lr': uniform(0.001, 0.1)}}"
            )
        self._parameter_space: dict[str, Expression] = {
            str(name): expressions.checked(str(name), expression) for name, expression in parameter_space.items()
        }
        for name, (kind, _) in self._parameter_space.items():
            if self.TAKES and kind not in self.TAKES:
                raise UserErrorException(
                    f"{type(self).__name__} takes {', '.join(self.TAKES)}, and '{name}' is a {kind}: "
                    "use RandomParameterSampling, or another expression"
                )
        self._properties = dict(properties or {})
        seed = self._properties.get("seed")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise UserErrorException(f"the seed is {seed!r}: it must be a whole number")

    @property
    def parameter_space(self) -> dict[str, Expression]:
        return dict(self._parameter_space)

    @property
    def size(self) -> float:
        """How many sets of values there are; infinity for a way of sampling without an end."""
        return math.inf

    def to_json(self) -> dict[str, Any]:
        """The sampling as plain data: "name", "parameter_space", "properties"."""
        found: dict[str, Any] = {"name": self.SAMPLING_NAME, "parameter_space": self.parameter_space}
        if self._properties:
            found["properties"] = dict(self._properties)
        return found


class RandomParameterSampling(HyperParameterSampling):
    """Each value by itself, as its expression says."""

    SAMPLING_NAME = "RANDOM"


class GridParameterSampling(HyperParameterSampling):
    """Every set of the choices once."""

    SAMPLING_NAME = "GRID"
    TAKES = ("choice",)

    @property
    def size(self) -> float:
        return math.prod(len(arguments[0]) for _, arguments in self._parameter_space.values())


class BayesianParameterSampling(HyperParameterSampling):
    """Values near those that were good so far (optuna's tree-structured Parzen estimator)."""

    SAMPLING_NAME = "BayesianOptimization"
    TAKES = ("choice", "uniform", "quniform")
