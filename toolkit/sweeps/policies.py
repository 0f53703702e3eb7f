"""When a child of a sweep is ended early: policies, as data, and the rules that they stand for.

An interval is one logged value of the primary metric. A policy looks at a child whenever it has logged another
`evaluation_interval` values, from `delay_evaluation` values on, and compares it with what the others had by then.
"""

from __future__ import annotations

from statistics import fmean, median
from typing import Any

from toolkit.errors import UserErrorException


class EarlyTerminationPolicy:
    """A policy: one of the classes below.

    Args:
        evaluation_interval: how many values lie between two looks.
        delay_evaluation: before so many values are logged, nothing is ended.
    """

    POLICY_NAME = ""

    def __init__(self, evaluation_interval: int = 1, delay_evaluation: int = 0) -> None:
        self._evaluation_interval = _whole("evaluation_interval", evaluation_interval, 1)
        self._delay_evaluation = _whole("delay_evaluation", delay_evaluation, 0)

    @property
    def evaluation_interval(self) -> int:
        return self._evaluation_interval

    @property
    def delay_evaluation(self) -> int:
        return self._delay_evaluation

    def _settings(self) -> dict[str, Any]:
        return {"evaluation_interval": self._evaluation_interval, "delay_evaluation": self._delay_evaluation}

    def to_json(self) -> dict[str, Any]:
        """The policy as plain data: "name" and "properties"."""
        return {"name": self.POLICY_NAME, "properties": self._settings()}


class BanditPolicy(EarlyTerminationPolicy):
    """Ends a child that is worse than the best by more than a slack, a ratio or an amount: one of the two.

    Of a metric that is to be large, a child is ended below best / (1 + slack_factor), or best - slack_amount.
    """

    POLICY_NAME = "Bandit"

    def __init__(
        self,
        evaluation_interval: int = 1,
        slack_factor: float | None = None,
        slack_amount: float | None = None,
        delay_evaluation: int = 0,
    ) -> None:
        super().__init__(evaluation_interval, delay_evaluation)
        if (slack_factor is None) == (slack_amount is None):
            raise UserErrorException("BanditPolicy takes slack_factor or slack_amount, one of them")
        for name, value in (("slack_factor", slack_factor), ("slack_amount", slack_amount)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0):
                raise UserErrorException(f"{name} is {value!r}: it must be a number, 0 or more")
        self._slack_factor = slack_factor
        self._slack_amount = slack_amount

    @property
    def slack_factor(self) -> float | None:
        return self._slack_factor

    @property
    def slack_amount(self) -> float | None:
        return self._slack_amount

    def _settings(self) -> dict[str, Any]:
        slack = {"slack_factor": self._slack_factor, "slack_amount": self._slack_amount}
        return {**super()._settings(), **{name: value for name, value in slack.items() if value is not None}}


class MedianStoppingPolicy(EarlyTerminationPolicy):
    """Ends a child whose best value is worse than the median of the averages of the others."""

    POLICY_NAME = "MedianStopping"


class TruncationSelectionPolicy(EarlyTerminationPolicy):
    """Ends the worst `truncation_percentage` (1 to 99) percent of the children at each look."""

    POLICY_NAME = "TruncationSelection"

    def __init__(
        self,
        truncation_percentage: int,
        evaluation_interval: int = 1,
        delay_evaluation: int = 0,
        exclude_finished_jobs: bool = False,
    ) -> None:
        super().__init__(evaluation_interval, delay_evaluation)
        if _whole("truncation_percentage", truncation_percentage, 1) > 99:
            raise UserErrorException(f"truncation_percentage is {truncation_percentage}: it must be from 1 to 99")
        self._truncation_percentage = truncation_percentage
        self._exclude_finished_jobs = bool(exclude_finished_jobs)

    @property
    def truncation_percentage(self) -> int:
        return self._truncation_percentage

    def _settings(self) -> dict[str, Any]:
        own = {"truncation_percentage": self._truncation_percentage}
        return {**super()._settings(), **own, "exclude_finished_jobs": self._exclude_finished_jobs}


class NoTerminationPolicy(EarlyTerminationPolicy):
    """Ends nothing early."""

    POLICY_NAME = "Default"

    def __init__(self) -> None:
        super().__init__()

    def _settings(self) -> dict[str, Any]:
        return {}


def _whole(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserErrorException(f"{name} is {value!r}: it must be a whole number, {least} or more")
    return value


# -- the rules --------------------------------------------------------------------------------------------------------


def due(policy: dict[str, Any], logged: int) -> int:
    """The interval at which a policy looks at a child that has logged so many values; 0 for none yet."""
    settings = policy["properties"]
    every = int(settings.get("evaluation_interval", 1))
    interval = logged // every * every
    return interval if policy["name"] != "Default" and interval >= max(1, int(settings["delay_evaluation"])) else 0


def ends(policy: dict[str, Any], child: list[float], others: list[list[float]], interval: int, maximize: bool) -> bool:
    """Whether a policy ends a child at an interval.

    Args:
        policy: as `to_json` gives it.
        child: the values of the primary metric that it has logged, in order; at least `interval` of them.
        others: those of the other children. One that has logged less is not compared with.
    """
    sign = 1.0 if maximize else -1.0
    own = [sign * value for value in child[:interval]]
    rivals = [[sign * value for value in values[:interval]] for values in others if len(values) >= interval]
    if not rivals:
        return False
    settings, name = policy["properties"], policy["name"]
    if name == "Bandit":
        return max(own) < _bandit_limit(settings, max(max(values) for values in [*rivals, own]))
    if name == "MedianStopping":
        return max(own) < median(fmean(values) for values in rivals)
    if name == "TruncationSelection":
        bests = sorted(max(values) for values in [*rivals, own])
        count = len(bests) * int(settings["truncation_percentage"]) // 100
        return count > 0 and bests.index(max(own)) < count and max(own) < bests[-1]
    return False


def _bandit_limit(settings: dict[str, Any], best: float) -> float:
    """The lowest that is good enough, of values that are to be large; right for values below 0 as well."""
    if settings.get("slack_amount") is not None:
        return best - float(settings["slack_amount"])
    slack = 1.0 + float(settings["slack_factor"])
    return best / slack if best >= 0 else best * slack
