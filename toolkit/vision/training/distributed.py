"""Data-parallel training: the processes that `torchrun` started, or this one alone."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import distributed

from toolkit.vision.training.launch import under_torchrun

_TIMEOUT_SECONDS = 600
T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """The place of this process among those that train together, from torchrun's variables.

    Attributes:
        rank, world_size: among all processes.
        local_rank, local_world_size: among those of this machine.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes, logs and saves."""
        return self.rank == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in place."""
        if self.world_size > 1:
            distributed.all_reduce(values)
        return values

    def most(self, value: torch.Tensor) -> torch.Tensor:
        """The largest over all processes, in place."""
        if self.world_size > 1:
            distributed.all_reduce(value, distributed.ReduceOp.MAX)
        return value

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives on the first process, on all of them; its error there is an error on all."""
        if self.world_size == 1:
            return make()
        shared: list[Any] = [None, None]
        if self.first:
            try:
                shared[0] = make()
            except Exception as error:
                shared[1] = error
        distributed.broadcast_object_list(shared)
        if shared[1] is not None:
            raise shared[1]
        found: T = shared[0]
        return found


def from_environment() -> Processes:
    """What torchrun's variables say; alone where there are none."""
    if not under_torchrun():
        return Processes()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    rank, world, local, local_world = (int(os.environ.get(name, default)) for name, default in zip(names, "0101"))
    return Processes(rank, world, local, local_world)


@contextmanager
def joined(processes: Processes, device: torch.device) -> Iterator[None]:
    """Join the group of processes: NCCL between GPUs, else Gloo."""
    if processes.world_size == 1:
        yield
        return
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        rank=processes.rank,
        world_size=processes.world_size,
        timeout=datetime.timedelta(seconds=_TIMEOUT_SECONDS),
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()
