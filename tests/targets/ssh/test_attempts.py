"""Attempts of a run on a host, whose starts and ends may arrive there in another order than they were asked for in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import lives, wait_until
from toolkit.inscript.files import read_json
from toolkit.inscript.host.layout import Layout
from toolkit.inscript.rundir import RunDirectory
from toolkit.targets.base import Plan
from toolkit.targets.mount import inscript_folder, launcher_command

SERVE = "import sys; from toolkit.inscript.host.server import main; main(*sys.argv[1:])"


class Host:
    """A host process, and one run of a script that sleeps."""

    def __init__(self, folder: Path) -> None:
        inscript = str(inscript_folder())
        self.run = RunDirectory(Layout(str(folder), "key/name", inscript).run("run_1"))
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(folder), "key/name", inscript],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": inscript},
        )

    def ask(self, operation: str, **fields: Any) -> Any:
        assert self.process.stdin and self.process.stdout
        asked = {"id": 1, "do": operation, "root": self.run.root, **fields}
        self.process.stdin.write(json.dumps(asked).encode() + b"\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            said = json.loads(line[line.index(b"{") :])
            if "id" in said:
                return said["value"]
        raise AssertionError("the host process has ended")

    def launch(self, attempt: int) -> int:
        """Start an attempt; the pid of its script."""
        plan = asdict(Plan(self.run, [sys.executable, "-c", "import time; time.sleep(600)"], {}))
        del plan["run"]
        os.makedirs(self.run.work, exist_ok=True)
        launcher = launcher_command(sys.executable, self.run.root)
        self.ask("launch", attempt=attempt, definition={}, plan=plan, launcher=launcher)
        wait_until(lambda: os.path.exists(self.run.script))
        return int(read_json(self.run.script)["pid"])

    def lose(self) -> None:
        """Have the launcher vanish; its script goes on."""
        os.kill(read_json(self.run.started)["pid"], signal.SIGKILL)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    with host.process:
        yield host
        host.ask("cancel", attempt=9, grace=0)
        assert host.process.stdin
        host.process.stdin.close()


def test_a_cancel_that_the_next_attempt_has_overtaken_leaves_that_alone(host: Host) -> None:
    host.launch(1)
    host.lose()
    second = host.launch(2)
    host.ask("cancel", attempt=1, grace=0)
    assert lives(second)
    host.ask("cancel", attempt=2, grace=0)
    assert not lives(second)


def test_another_attempt_ends_what_is_left_of_the_one_before(host: Host) -> None:
    first = host.launch(1)
    host.lose()
    second = host.launch(2)
    assert not lives(first) and lives(second)


def test_a_run_whose_folder_somebody_deleted_is_ended_all_the_same(host: Host) -> None:
    script = host.launch(1)
    os.rename(host.run.root, host.run.root + "-deleted")
    host.ask("cancel", attempt=1, grace=0)
    assert not lives(script)
