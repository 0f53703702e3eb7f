"""GPUs of a host: who waits, and for how long that counts."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from toolkit.inscript.files import write_json
from toolkit.inscript.host import gpus
from toolkit.inscript.host.layout import WAITER
from toolkit.inscript.rundir import RunDirectory


@pytest.fixture
def one_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'GPU-aa, 0'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(gpus, "_cached", [])


@pytest.fixture
def waiter(tmp_path: Path) -> Iterator[str]:
    """The file of a connection that lives."""
    path = tmp_path / f"{WAITER}1.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield str(path)


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[[str], RunDirectory]:
    def made(name: str) -> RunDirectory:
        run = RunDirectory(str(tmp_path / name))
        os.makedirs(run.root)
        write_json(run.definition, {})
        return run

    return made


@pytest.mark.usefixtures("one_gpu")
def test_who_was_cancelled_while_it_waited_holds_up_nobody(
    tmp_path: Path, waiter: str, new_run: Callable[[str], RunDirectory]
) -> None:
    first, second, third = (new_run(name) for name in ("first", "second", "third"))
    assert gpus.take(first, [0, 1], 1, waiter)
    assert gpus.take(second, [0, 2], 1, waiter) is None
    write_json(first.exit, {})
    assert gpus.take(third, [0, 3], 1, waiter) is None, "the second came before"
    ticket = tmp_path / "home" / "gpu-leases" / "waiting" / "second.json"
    os.utime(ticket, (1, 1))
    assert gpus.take(third, [0, 3], 1, waiter)
    assert not ticket.exists()
