"""The values of a sweep's next child: a function of the sampling, the child's number and what the others came to.

Nothing is kept between calls, so a controller that starts anew proposes what the last one would have.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from toolkit.sweeps import expressions

_STARTUP = 10  # children of a Bayesian sweep that are drawn at random, before there is something to learn from


@dataclass(frozen=True)
class Outcome:
    """What a child was given, and what it came to.

    Attributes:
        values: by parameter.
        metric: the best primary metric that it logged; None where it logged none.
        ended: whether it will log no more.
    """

    values: dict[str, Any]
    metric: float | None
    ended: bool


def propose(sampling: dict[str, Any], number: int, outcomes: list[Outcome], maximize: bool) -> dict[str, Any]:
    """The values of the child `number` (from 0) of a sweep, by parameter.

    Args:
        sampling: as `HyperParameterSampling.to_json` gives it, with properties["seed"].
        outcomes: the children so far.
    """
    space = sampling["parameter_space"]
    if sampling["name"] == "GRID":
        every = itertools.product(*(arguments[0] for _, arguments in space.values()))
        return dict(zip(space, next(itertools.islice(every, number, None))))
    return _ask_optuna(space, int(sampling["properties"]["seed"]) + number, outcomes, maximize, sampling["name"])


def _ask_optuna(space: dict[str, Any], seed: int, outcomes: list[Outcome], maximize: bool, name: str) -> dict[str, Any]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler: optuna.samplers.BaseSampler
    if name == "RANDOM":
        sampler = optuna.samplers.RandomSampler(seed=seed)
    else:
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP, constant_liar=True)
    study = optuna.create_study(direction="maximize" if maximize else "minimize", sampler=sampler)
    distributions = {parameter: _distribution(expression) for parameter, expression in space.items()}
    if name != "RANDOM":
        for outcome in outcomes:
            if _fits(space, outcome.values):
                study.add_trial(_trial(outcome, space, distributions))
    drawn = study.ask(distributions).params
    return {parameter: _value(space[parameter], drawn[parameter]) for parameter in space}


def _distribution(expression: list[Any]) -> Any:
    """What optuna draws from: the place of an option, the number of a uniform distribution, or a share of another."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    kind, arguments = expression
    if kind == "choice":
        return CategoricalDistribution(list(range(len(arguments[0]))))
    if kind == "randint":
        return IntDistribution(0, int(arguments[0]) - 1)
    return FloatDistribution(0.0, 1.0)


def _value(expression: list[Any], drawn: Any) -> Any:
    kind, arguments = expression
    if kind == "choice":
        return arguments[0][drawn]
    return drawn if kind == "randint" else expressions.value(expression, drawn)


def _fits(space: dict[str, Any], values: dict[str, Any]) -> bool:
    """Whether a child's values are of the space: one that goes on from another sweep may have been given others."""
    return set(values) == set(space) and all(
        values[name] in arguments[0] if kind == "choice" else isinstance(values[name], (int, float))
        for name, (kind, arguments) in space.items()
    )


def _trial(outcome: Outcome, space: dict[str, Any], distributions: dict[str, Any]) -> Any:
    """A child as optuna knows it: ended with its metric, failed without one, or running."""
    from optuna.trial import TrialState, create_trial

    drawn = {parameter: _drawn(space[parameter], outcome.values[parameter]) for parameter in space}
    if outcome.ended and outcome.metric is not None:
        return create_trial(params=drawn, distributions=distributions, value=outcome.metric)
    state = TrialState.FAIL if outcome.ended else TrialState.RUNNING
    return create_trial(state=state, params=drawn, distributions=distributions)


def _drawn(expression: list[Any], value: Any) -> Any:
    """What `_value` made the value from. A Bayesian sweep has choices and uniform numbers only."""
    kind, arguments = expression
    if kind == "choice":
        return arguments[0].index(value)
    return min(1.0, max(0.0, (value - arguments[0]) / (arguments[1] - arguments[0])))
