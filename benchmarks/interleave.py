"""Measuring in turn: a round asks everybody once, in an order that changes, so that a slow moment hits all alike."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping

from benchmarks.workers import WorkerError


def in_turn(
    measures: Mapping[str, Callable[[], float]], rounds: int, missing: dict[str, str], warm_up: int = 1
) -> dict[str, list[float]]:
    """The values of each measure, `rounds` of them after `warm_up` that do not count.

    A measure that fails is taken out; `missing` gets its name and the reason.
    """
    order = random.Random(0)
    values: dict[str, list[float]] = {name: [] for name in measures}
    left = list(measures)
    for index in range(warm_up + rounds):
        order.shuffle(left)
        for name in list(left):
            try:
                value = measures[name]()
            except WorkerError as error:
                missing[name] = str(error)
                left.remove(name)
                continue
            if index >= warm_up:
                values[name].append(value)
    return {name: found for name, found in values.items() if found and name not in missing}


def medians(values: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(found) for name, found in values.items()}
