"""What the next child of a sweep is given: a function of the sampling, the number and the others' outcomes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from toolkit import UserErrorException
from toolkit.sweeps import (
    BayesianParameterSampling,
    GridParameterSampling,
    RandomParameterSampling,
    choice,
    loguniform,
    normal,
    quniform,
    randint,
    uniform,
)
from toolkit.sweeps.proposals import Outcome, propose
from toolkit.sweeps.sampling import HyperParameterSampling


def drawn(sampling: HyperParameterSampling, count: int, outcomes: list[Outcome] | None = None) -> list[dict[str, Any]]:
    return [propose(sampling.to_json(), number, outcomes or [], True) for number in range(count)]


def test_a_grid_gives_every_set_once_in_order() -> None:
    sampling = GridParameterSampling({"--lr": choice(0.1, 0.2), "--units": choice(range(3))})
    assert sampling.size == 6
    assert [(one["--lr"], one["--units"]) for one in drawn(sampling, 6)] == [*itertools.product((0.1, 0.2), range(3))]


def test_random_values_are_where_they_should_be_and_repeatable() -> None:
    space = {
        "a": choice("x", "y", [1, 2]),
        "b": uniform(5, 6),
        "c": quniform(0, 1, 0.25),
        "d": loguniform(-7, 0),
        "e": normal(100, 1),
        "f": randint(4),
    }
    found = drawn(RandomParameterSampling(space, properties={"seed": 7}), 60)
    assert found == drawn(RandomParameterSampling(space, properties={"seed": 7}), 60)
    assert found != drawn(RandomParameterSampling(space, properties={"seed": 8}), 60)
    assert {str(one["a"]) for one in found} == {"x", "y", "[1, 2]"} and {one["f"] for one in found} == {0, 1, 2, 3}
    assert all(5 <= one["b"] <= 6 and one["c"] in (0, 0.25, 0.5, 0.75, 1) for one in found)
    assert all(0.0009 < one["d"] <= 1 and 94 < one["e"] < 106 for one in found)
    assert len({one["b"] for one in found}) == 60


def test_bayesian_values_go_where_the_metric_is_good() -> None:
    sampling = BayesianParameterSampling({"x": uniform(0, 10), "kind": choice("bad", "good")}, properties={"seed": 3})
    outcomes: list[Outcome] = []
    for number in range(40):
        values = propose(sampling.to_json(), number, outcomes, maximize=True)
        metric = -abs(values["x"] - 7) - (5 if values["kind"] == "bad" else 0)
        outcomes.append(Outcome(values, metric, ended=True))
    late = outcomes[25:]
    assert sum(one.values["kind"] == "good" for one in late) > 9
    assert sum(abs(one.values["x"] - 7) < 1.5 for one in late) > 6


def test_bayesian_sampling_takes_children_that_run_or_failed() -> None:
    sampling = BayesianParameterSampling({"x": quniform(0, 10, 2)}, properties={"seed": 3})
    outcomes = [Outcome({"x": float(place)}, 0.5 if place % 2 else None, place < 12) for place in range(10)]
    outcomes += [Outcome({"x": 10.0}, None, ended=False)] * 5
    assert propose(sampling.to_json(), 15, outcomes, maximize=False)["x"] in (0, 2, 4, 6, 8, 10)


def test_bayesian_sampling_learns_nothing_from_children_with_other_values() -> None:
    sampling = BayesianParameterSampling({"x": uniform(0, 1), "kind": choice("a", "b")}, properties={"seed": 3})
    others = [{"x": 0.5, "kind": "gone"}, {"x": "large", "kind": "a"}, {"x": 0.5}, {"x": 1, "kind": "a", "y": 2}]
    outcomes = [Outcome(values, 0.5, ended=True) for values in others]
    assert propose(sampling.to_json(), 3, outcomes, True) == propose(sampling.to_json(), 3, [], True)


@pytest.mark.parametrize(
    ("kind", "space", "message"),
    [
        (GridParameterSampling, {"a": uniform(0, 1)}, "GridParameterSampling takes choice, and 'a' is a uniform"),
        (BayesianParameterSampling, {"a": normal(0, 1)}, "takes choice, uniform, quniform, and 'a' is a normal"),
        (RandomParameterSampling, {}, "it is a dictionary, as in"),
        (RandomParameterSampling, {"a": 3}, "'a' is 3: give it an expression"),
    ],
)
def test_spaces_that_are_refused(kind: type[HyperParameterSampling], space: dict[str, Any], message: str) -> None:
    with pytest.raises(UserErrorException, match=message):
        kind(space)


def test_as_json() -> None:
    sampling = RandomParameterSampling({"--lr": uniform(0, 1)}, properties={"seed": 3})
    assert sampling.to_json() == {
        "name": "RANDOM",
        "parameter_space": {"--lr": ["uniform", [0, 1]]},
        "properties": {"seed": 3},
    }
