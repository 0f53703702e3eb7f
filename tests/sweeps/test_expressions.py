"""Expressions: what a parameter may be, in the form and with the meaning that SDK v1 gave them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy
import pytest

from toolkit import UserErrorException
from toolkit.sweeps import (
    choice,
    lognormal,
    loguniform,
    normal,
    qlognormal,
    qloguniform,
    qnormal,
    quniform,
    randint,
    uniform,
)
from toolkit.sweeps.expressions import checked, value


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ((1, 2, 3), [1, 2, 3]),
        (([16, 32],), [16, 32]),
        ((range(1, 4),), [1, 2, 3]),
        (("adam",), ["adam"]),
        (([1, 2], [3]), [[1, 2], [3]]),
        ((numpy.float32(0.5), True, None), [0.5, True, None]),
        ((numpy.arange(3),), [0, 1, 2]),
    ],
)
def test_choices(given: tuple[Any, ...], options: list[Any]) -> None:
    assert choice(*given) == ["choice", [options]]


def test_the_form_of_distributions() -> None:
    assert uniform(0.05, 0.1) == ["uniform", [0.05, 0.1]]
    assert qnormal(10, 3, 2) == ["qnormal", [10, 3, 2]]
    assert randint(5) == ["randint", [5]]


@pytest.mark.parametrize(
    ("expression", "middle"),
    [
        (uniform(2, 4), 3),
        (quniform(0, 10, 2.5), 5.0),
        (loguniform(math.log(0.01), math.log(1)), 0.1),
        (qloguniform(0, 4, 3), 6),  # exp(2) is 7.39
        (normal(10, 3), 10),
        (qnormal(10.4, 3, 1), 10),
        (lognormal(0, 1), 1),
        (qlognormal(1, 1, 0.5), 2.5),  # exp(1) is 2.72
    ],
)
def test_the_middle_of_a_distribution(expression: list[Any], middle: float) -> None:
    assert value(expression, 0.5) == pytest.approx(middle)


def test_steps_leave_no_dust_of_binary_fractions() -> None:
    assert [value(quniform(0, 1, 0.1), share) for share in (0.3, 0.6, 0.7)] == [0.3, 0.6, 0.7]


def test_the_edges_of_a_normal_distribution_are_numbers() -> None:
    assert math.isfinite(value(normal(0, 1), 0.0)) and math.isfinite(value(lognormal(0, 1), 1.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: choice(), "has no options"),
        (lambda: choice([]), "has no options"),
        (lambda: uniform(1, 0), "max_value must be above min_value"),
        (lambda: uniform(0, "1"), "max_value must be a number"),
        (lambda: normal(0, 0), "sigma must be above 0"),
        (lambda: quniform(0, 1, 0), "q must be above 0"),
        (lambda: randint(0), "upper must be above 0"),
        (lambda: choice(object()), "cannot be the value of a parameter"),
        (lambda: checked("--lr", 0.1), "'--lr' is 0.1: give it an expression"),
        (lambda: checked("--lr", ["sometimes", [1]]), "of the kind 'sometimes'; known are choice, randint"),
        (lambda: checked("--lr", ["uniform", [1]]), "uniform takes min_value, max_value"),
    ],
)
def test_what_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UserErrorException, match=message):
        make()
