"""The order in which a training sees its images: a pure function of seed and epoch, on every machine and every rank.

Nothing of it is state, so a training that resumes in the middle of an epoch, the processes that decode ahead of it, and
all ranks of a distributed one know it without telling each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SEEDS = 2**128  # seeds are any whole number; generators take those from 0


@dataclass(frozen=True)
class Sampling:
    """Which images make up which batch.

    Attributes:
        count: images in the set.
        batch_size: images a step, on each rank.
        seed: of the order; None keeps the order of the list, and the last batch may be smaller.
        rank: of this process, from 0.
        world_size: processes that share each step; with W of them, a step is one of W x batch_size images.
    """

    count: int
    batch_size: int
    seed: int | None = None
    rank: int = 0
    world_size: int = 1

    @property
    def steps(self) -> int:
        """Steps in an epoch. Shuffled ones are all full: what is left over changes from epoch to epoch."""
        step = self.batch_size * self.world_size
        return self.count // step if self.seed is not None else -(-self.count // step)

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """The images of all ranks in the order of an epoch (from 0), those left over last."""
        if self.seed is None:
            return np.arange(self.count, dtype=np.int64)
        return np.random.default_rng([self.seed % _SEEDS, epoch]).permutation(self.count)

    def batches(self, epoch: int, start: int = 0) -> list[NDArray[np.int64]]:
        """The batches of this rank in an epoch, from step `start` on."""
        order = self.epoch(epoch)
        whole = self.batch_size * self.world_size
        batches = []
        for step in range(start, self.steps):
            first = step * whole + self.rank * self.batch_size
            batches.append(order[first : min(first + self.batch_size, (step + 1) * whole)])
        return batches


def step_seed(seed: int, *parts: int) -> int:
    """A seed for one place in a training, as in (epoch, step): any two places have different ones, nearly always."""
    return int(np.random.SeedSequence([seed % _SEEDS, *parts]).generate_state(1, np.uint64)[0] >> 1)
