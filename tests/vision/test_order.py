"""Which images make up which batch."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.vision.training.order import Sampling, step_seed


def test_an_epoch_has_each_image_once_and_full_batches_only() -> None:
    batches = Sampling(103, 10, seed=1).batches(0)
    assert len(batches) == 10 and all(len(batch) == 10 for batch in batches)
    assert len(np.unique(np.concatenate(batches))) == 100


def test_without_a_seed_it_is_the_order_of_the_list_with_all_images() -> None:
    assert np.concatenate(Sampling(103, 10).batches(5)).tolist() == list(range(103))


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    def first(seed: int, epoch: int) -> list[int]:
        order: list[int] = Sampling(1000, 10, seed).batches(epoch)[0].tolist()
        return order

    assert first(1, 0) == first(1, 0)
    assert len({tuple(first(seed, epoch)) for seed in (-1, 0, 1, 2**70) for epoch in (0, 1)}) == 8


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_steps_of_one_process_with_as_many_images(seed: int | None, world_size: int) -> None:
    whole = Sampling(100, 4 * world_size, seed)
    ranks = [Sampling(100, 4, seed, rank, world_size).batches(2) for rank in range(world_size)]
    assert {len(batches) for batches in ranks} == {whole.steps}
    for step, batch in enumerate(whole.batches(2)):
        assert np.concatenate([batches[step] for batches in ranks]).tolist() == batch.tolist()


def test_a_start_in_the_middle_leaves_the_rest_as_it_is() -> None:
    sampling = Sampling(100, 10, 7)
    assert np.array_equal(sampling.batches(1, 4), sampling.batches(1)[4:])


def test_seeds_of_steps_differ() -> None:
    assert len({step_seed(seed, epoch, step) for seed in (0, 1) for epoch in range(20) for step in range(50)}) == 2000
