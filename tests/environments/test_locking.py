"""Solving without building: beside builds, and beside one another."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from toolkit.environments import kept_locks, locking, prefix
from toolkit.environments.lock import Lock, Python
from toolkit.environments.request import Request
from toolkit.environments.spec import EnvironmentSpec
from toolkit.environments.store import Store

SPEC = EnvironmentSpec(pip=("iniconfig",))
ASKED = Request(SPEC.key(), SPEC)
LOCK = Lock("Linux-x86_64", Python("3.11.7", "/bin/sh", "found"), requirements="iniconfig==2.0.0")


def test_a_build_that_begins_meanwhile_leaves_the_folder_of_a_solve(
    place: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def solve(request: Request, log: Any, scratch: Path) -> Lock:
        prefix.remove_leftovers(place, "0" * 64, [].append)
        assert scratch.is_dir()
        return LOCK

    monkeypatch.setattr(locking, "_solve", solve)
    assert locking.lock_of(ASKED, [].append) == LOCK


def test_two_at_once_share_one_solve(place: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    solves: list[Path] = []
    begun = threading.Event()

    def solve(request: Request, log: Any, scratch: Path) -> Lock:
        solves.append(scratch)
        begun.set()
        assert waits.wait(20)
        kept_locks.keep(request, LOCK)
        return LOCK

    waits = threading.Event()
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        waits.set()

    monkeypatch.setattr(locking, "_solve", solve)
    first = threading.Thread(target=locking.lock_of, args=(ASKED, [].append))
    first.start()
    assert begun.wait(20)
    assert locking.lock_of(ASKED, tell).hash == LOCK.hash
    first.join()
    assert len(solves) == 1 and "another process is building this environment" in told[0]
