"""GPU leases: one run a GPU, first come first served, over workspaces, and nothing to give back."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from toolkit.agent.leases import Leases
from toolkit.gpus import Gpu
from toolkit.inscript.files import write_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.status import FINALIZING, QUEUED, Event, append_event

TWO = [Gpu("GPU-a", "0", "Test", 1 << 30), Gpu("GPU-b", "1", "Test", 1 << 30)]


def a_run(folder: Path, name: str) -> RunDirectory:
    run = RunDirectory(str(folder / "runs" / name))
    os.makedirs(run.root)
    write_json(run.definition, {})
    append_event(run, Event(QUEUED))
    return run


def an_agent(folder: Path, name: str) -> Path:
    lock = folder / name / "lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    return lock


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    return Leases(tmp_path / "leases", an_agent(tmp_path, "one"))


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Leases]:
    """The leases as the agent of another workspace has them, which lives: it holds its lock."""
    lock = an_agent(tmp_path, "other")
    descriptor = os.open(lock, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield Leases(tmp_path / "leases", lock)
    os.close(descriptor)


def test_each_run_has_a_gpu_of_its_own_and_the_third_waits(leases: Leases, tmp_path: Path) -> None:
    runs = [a_run(tmp_path, name) for name in "abc"]
    taken = [leases.take(run, [0, time], TWO, 1) for time, run in enumerate(runs)]
    assert [gpus and [gpu.uuid for gpu in gpus] for gpus in taken] == [["GPU-a"], ["GPU-b"], None]


def test_a_run_that_ended_needs_to_give_nothing_back(leases: Leases, tmp_path: Path) -> None:
    first, second, third = (a_run(tmp_path, name) for name in "abc")
    assert leases.take(first, [0, 0], TWO, 2) == TWO
    assert leases.take(second, [0, 1], TWO, 1) is None
    write_json(first.exit, {})
    assert leases.take(second, [0, 1], TWO, 2) == TWO
    append_event(second, Event(FINALIZING, outcome="Failed"))
    assert leases.take(third, [0, 2], TWO, 2) == TWO


def test_asking_again_gives_what_one_has(leases: Leases, tmp_path: Path) -> None:
    run = a_run(tmp_path, "a")
    assert leases.take(run, [0, 0], TWO, 1) == TWO[:1] == leases.take(run, [0, 0], TWO, 1)


def test_an_agent_that_was_ended_between_two_leases(leases: Leases, tmp_path: Path) -> None:
    """A lease file of the run is there, the second one is not, and its ticket stands yet."""
    run, late = a_run(tmp_path, "a"), a_run(tmp_path, "b")
    leases.take(run, [0, 0], TWO[:1], 2)
    write_json(str(tmp_path / "leases" / "held" / "GPU-b.json"), {"run": run.root})
    assert leases.take(run, [0, 0], TWO, 2) == TWO
    write_json(run.exit, {})
    assert leases.take(late, [0, 1], TWO, 2) == TWO, "no ticket is left in the way"


def test_who_came_first_goes_first_even_if_another_workspace_asks_first(
    leases: Leases, other: Leases, tmp_path: Path
) -> None:
    holder, early, late = (a_run(tmp_path, name) for name in "abc")
    assert leases.take(holder, [0, 0], TWO, 2)
    assert other.take(early, [0, 1], TWO, 1) is None
    write_json(holder.exit, {})
    assert leases.take(late, [0, 2], TWO, 1) is None, "one that came before waits"
    assert other.take(early, [0, 1], TWO, 1) == TWO[:1]
    assert leases.take(late, [0, 2], TWO, 1) == TWO[1:]


def test_a_big_run_is_not_overtaken_for_ever(leases: Leases, tmp_path: Path) -> None:
    small, big, late = (a_run(tmp_path, name) for name in "abc")
    assert leases.take(small, [0, 0], TWO, 1)
    assert leases.take(big, [0, 1], TWO, 2) is None
    assert leases.take(late, [0, 2], TWO, 1) is None
    write_json(small.exit, {})
    assert leases.take(big, [0, 1], TWO, 2) == TWO


def test_one_who_waits_without_an_agent_is_not_waited_for(leases: Leases, tmp_path: Path) -> None:
    dead = Leases(tmp_path / "leases", an_agent(tmp_path, "dead"))
    holder, waiting, late = (a_run(tmp_path, name) for name in "abc")
    assert leases.take(holder, [0, 0], TWO, 2)
    assert dead.take(waiting, [0, 1], TWO, 1) is None
    write_json(holder.exit, {})
    assert leases.take(late, [0, 2], TWO, 1) == TWO[:1]


def test_many_processes_never_share_a_gpu(tmp_path: Path) -> None:
    runs = [a_run(tmp_path, f"run{number}") for number in range(4)]
    lock = an_agent(tmp_path, "one")
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        taken = list(pool.map(_take, [tmp_path / "leases"] * 4, [lock] * 4, [run.root for run in runs]))
    assert sorted(uuid for uuids in taken for uuid in uuids) == ["GPU-a", "GPU-b"]


def _take(folder: Path, lock: Path, root: str) -> list[str]:
    return [gpu.uuid for gpu in Leases(folder, lock).take(RunDirectory(root), [0, 0], TWO, 1) or []]
