"""Early termination, with the numbers of Azure ML's documentation where it has some."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from toolkit import UserErrorException
from toolkit.sweeps import BanditPolicy, MedianStoppingPolicy, NoTerminationPolicy, TruncationSelectionPolicy
from toolkit.sweeps.policies import due, ends


@pytest.mark.parametrize(
    ("every", "delay", "looks"),
    [
        (1, 0, [0, 1, 2, 3, 4, 5, 6]),
        (2, 0, [0, 0, 2, 2, 4, 4, 6]),
        (1, 5, [0, 0, 0, 0, 0, 5, 6]),
        (2, 5, [0, 0, 0, 0, 0, 0, 6]),
    ],
)
def test_when_a_policy_looks(every: int, delay: int, looks: list[int]) -> None:
    policy = MedianStoppingPolicy(evaluation_interval=every, delay_evaluation=delay).to_json()
    assert [due(policy, logged) for logged in range(7)] == looks


def test_no_policy_never_looks() -> None:
    assert due(NoTerminationPolicy().to_json(), 100) == 0


@pytest.mark.parametrize(
    ("policy", "best", "metric", "maximize", "ended"),
    [
        (BanditPolicy(slack_factor=0.2), 0.8, 0.66, True, True),  # below 0.8 / 1.2
        (BanditPolicy(slack_factor=0.2), 0.8, 0.67, True, False),
        (BanditPolicy(slack_factor=0.2), 1.0, 1.21, False, True),
        (BanditPolicy(slack_factor=0.2), 1.0, 1.19, False, False),
        (BanditPolicy(slack_amount=0.1), 0.8, 0.69, True, True),
        (BanditPolicy(slack_amount=0.1), 0.8, 0.71, True, False),
        (BanditPolicy(slack_factor=0.5), -1.0, -1.4, True, False),  # a metric below 0: the best itself stays too
        (BanditPolicy(slack_factor=0.5), -1.0, -1.6, True, True),
    ],
)
def test_bandit(policy: BanditPolicy, best: float, metric: float, maximize: bool, ended: bool) -> None:
    assert ends(policy.to_json(), [metric], [[best]], 1, maximize) is ended
    assert not ends(policy.to_json(), [best], [[metric]], 1, maximize), "the best one goes on"


def test_a_child_is_compared_with_what_others_had_at_its_interval() -> None:
    policy = BanditPolicy(slack_factor=0.1).to_json()
    assert not ends(policy, [0.5], [[0.5, 0.9]], 1, True), "the other one was no better then"
    assert not ends(policy, [0.1, 0.1], [[0.9]], 2, True), "the other one is not there yet"
    assert not ends(policy, [0.9, 0.1], [[0.5, 0.9]], 2, True), "the best value counts, not the last"


def test_median() -> None:
    policy = MedianStoppingPolicy().to_json()
    others = [[0.2, 0.4], [0.4, 0.6], [0.6, 0.8]]  # averages 0.3, 0.5, 0.7
    assert ends(policy, [0.1, 0.49], others, 2, True) and not ends(policy, [0.1, 0.51], others, 2, True)
    assert ends(policy, [0.9, 0.51], others, 2, False) and not ends(policy, [0.9, 0.49], others, 2, False)


def test_truncation() -> None:
    policy = TruncationSelectionPolicy(truncation_percentage=40).to_json()
    values = [[0.1], [0.2], [0.3], [0.4], [0.5]]
    ended = [ends(policy, one, [other for other in values if other is not one], 1, True) for one in values]
    assert ended == [True, True, False, False, False]
    assert not ends(policy, [0.1], [[0.2]], 1, True), "40 % of two is nobody"
    assert not ends(policy, [0.5], [[0.5]] * 4, 1, True), "of equals nobody is the worst"


def test_as_json() -> None:
    assert BanditPolicy(2, slack_factor=0.1, delay_evaluation=5).to_json() == {
        "name": "Bandit",
        "properties": {"evaluation_interval": 2, "delay_evaluation": 5, "slack_factor": 0.1},
    }
    assert NoTerminationPolicy().to_json() == {"name": "Default", "properties": {}}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BanditPolicy(), "slack_factor or slack_amount, one of them"),
        (lambda: BanditPolicy(slack_factor=0.1, slack_amount=0.1), "slack_factor or slack_amount, one of them"),
        (lambda: BanditPolicy(slack_factor=-1), "slack_factor is -1"),
        (lambda: MedianStoppingPolicy(evaluation_interval=0), "evaluation_interval is 0"),
        (lambda: TruncationSelectionPolicy(100), "must be from 1 to 99"),
    ],
)
def test_what_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UserErrorException, match=message):
        make()
