"""A run directory that goes out by the output of a process, and comes here by the log that an engine keeps of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import lives, wait_until
from toolkit.inscript import streamed
from toolkit.inscript.files import read_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.targets import streaming
from toolkit.targets.base import Phase
from toolkit.targets.mirror import Mirror
from toolkit.targets.mount import PACKAGE
from toolkit.targets.streaming import Followers

START = "import sys, json\nsys.path.insert(0, sys.argv[1])\nfrom toolkit.inscript import streamed\n"
START += "streamed.LOOK_AT_ALL_SECONDS = {look_at_all_seconds}\n"
START += "sys.exit(streamed.main(sys.argv[2], json.loads(sys.argv[3])))"


class There:
    """A node: a folder with the start document, and a log of what the process there prints."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "job.log"
        self.run = RunDirectory(str(folder / "runs" / "run_1"))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, script: str, look_at_all_seconds: float = 2.0, **more: Any) -> subprocess.Popen[bytes]:
        self.folder.mkdir(exist_ok=True)
        plan = {
            "command": [sys.executable, "-c", script],
            "environment": {"WHERE": streamed.RUN},
            "path_prefixes": {},
            "grace_seconds": 1,
        }
        document = {"run": "run_1", "definition": {}, "folder": str(self.folder / "runs"), "plan": plan, **more}
        (self.folder / "start.json").write_text(json.dumps(document))
        places = {streamed.INSCRIPT: str(PACKAGE.parent), streamed.SNAPSHOT: ""}
        start = START.format(look_at_all_seconds=look_at_all_seconds)
        command = [sys.executable, "-c", start, str(PACKAGE.parent), str(self.folder / "start.json")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*command, json.dumps(places)], stdout=log, stderr=log)
        return self.process

    def open(self, run: RunDirectory, flowing: bool) -> Generator[bytes, None, None]:
        """The log, as an engine gives it: in pieces that end anywhere."""
        with self.log.open("rb") as file:
            while True:
                piece = file.read(777)
                if piece:
                    yield piece
                elif not flowing or (self.process is not None and self.process.poll() is not None):
                    yield file.read()
                    return
                else:
                    time.sleep(0.01)


@pytest.fixture
def there(tmp_path: Path) -> Generator[There, None, None]:
    made = There(tmp_path / "there")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.terminate()
        made.process.wait(10)


@pytest.fixture
def here(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(str(tmp_path / "here" / "run_1"))
    os.makedirs(run.logs)
    return run


def read(run: RunDirectory, name: str) -> bytes:
    return Path(run.root, name).read_bytes()


def test_all_of_a_run_comes(there: There, here: RunDirectory) -> None:
    process = there.start(
        """if True:
        import os, sys
        open("outputs/large.bin", "wb").write(os.urandom(3_000_000))
        open("outputs/modèle.txt", "w").write("ü" * 9000)
        open("logs/events", "wb").write(bytes(range(256)) * 100)
        os.write(1, b"\\x00\\x01" * 5000 + os.environ["WHERE"].encode())
        sys.stdout.flush()
        sys.exit(7)
        """
    )
    followers = Followers(there.open, "")
    followers.follow(here)
    wait_until(lambda: followers.is_complete(here))
    assert process.wait(10) == 7
    assert read_json(here.exit)["code"] == 7 and Mirror(here).phase() is Phase.ENDED
    assert read(here, "work/outputs/modèle.txt") == ("ü" * 9000).encode()
    assert len(read(here, "work/outputs/large.bin")) == 3_000_000
    assert read(here, "work/logs/events") == bytes(range(256)) * 100
    assert read(here, "azureml-logs/70_driver_log.txt") == b"\x00\x01" * 5000 + there.run.root.encode()
    assert b"started" in read(here, "azureml-logs/60_control_log.txt")
    assert not os.path.exists(there.run.root), "nothing stays on the node"
    assert max(map(len, there.log.read_bytes().split(b"\n"))) < 16 * 1024, "no container runtime cuts such a line"


def test_it_comes_while_the_script_runs(there: There, here: RunDirectory) -> None:
    there.start("import time; print('here', flush=True); time.sleep(60)")
    followers = Followers(there.open, "")
    followers.follow(here)
    wait_until(lambda: os.path.exists(here.driver_log) and b"here" in read(here, "azureml-logs/70_driver_log.txt"))
    assert Mirror(here).phase() is Phase.RUNNING and os.path.exists(here.heartbeat)


def test_whoever_comes_later_reads_from_the_beginning(there: There, here: RunDirectory) -> None:
    process = there.start("print('first'); open('outputs/a', 'w').write('a')")
    process.wait(30)
    for _ in range(2):
        followers = Followers(there.open, "")
        wait_until(partial(followers.finish, here))
        assert read(here, "azureml-logs/70_driver_log.txt") == b"first\n" and read(here, "work/outputs/a") == b"a"


def test_what_the_script_deletes_again_is_not_kept(there: There, here: RunDirectory, tmp_path: Path) -> None:
    there.start(
        """if True:
        import os, time
        for step in range(4):
            for name in (f"outputs/steps/{step}.pt", "logs/app.log"):
                os.makedirs(os.path.dirname(name), exist_ok=True)
                open(name, "w").write(f"of step {step}" * (4 - step))
            while not os.path.exists(f"../seen-{step}"):
                time.sleep(0.01)
            if step < 2:
                os.unlink(f"outputs/steps/{step}.pt")
                os.unlink("logs/app.log")
                time.sleep(0.5)
        """,
        look_at_all_seconds=0.1,
    )
    followers = Followers(there.open, "")
    followers.follow(here)
    for step in range(4):
        wait_until(partial(os.path.exists, os.path.join(here.outputs, "steps", f"{step}.pt")))
        Path(there.run.root, f"seen-{step}").touch()
    wait_until(lambda: followers.is_complete(here))
    late = RunDirectory(str(tmp_path / "late" / "run_1"))
    os.makedirs(late.logs)
    for run in (here, late):
        followers = Followers(there.open, "")
        wait_until(partial(followers.finish, run))
        assert sorted(os.listdir(os.path.join(run.outputs, "steps"))) == ["2.pt", "3.pt"]
        assert read(run, "work/logs/app.log") == b"of step 3"


def test_what_is_not_a_frame_is_the_engines(there: There, here: RunDirectory) -> None:
    there.folder.mkdir()
    there.log.write_bytes(b'pulling the image\n{"path": "cut\n')
    there.start("print(1)").wait(30)
    for _ in range(2):  # twice is once
        followers = Followers(there.open, "")
        wait_until(partial(followers.finish, here))
        assert Path(streaming.engine_log(here)).read_text() == 'pulling the image\n{"path": "cut\n'
    assert os.path.exists(here.exit)


def test_a_connection_that_breaks_again_and_again(there: There, here: RunDirectory) -> None:
    there.start("for n in range(3000): print(n, flush=n % 100 == 0)").wait(30)
    opened = []

    def breaking(run: RunDirectory, flowing: bool) -> Generator[bytes, None, None]:
        opened.append(1)
        for number, piece in enumerate(there.open(run, flowing)):
            if number > len(opened) * 3:
                raise ConnectionResetError("gone")
            yield piece

    followers = Followers(breaking, "")
    wait_until(lambda: followers.finish(here))
    assert len(opened) > 2
    assert read(here, "azureml-logs/70_driver_log.txt") == b"".join(b"%d\n" % n for n in range(3000))


def test_a_log_of_which_the_engine_lost_the_beginning(there: There, here: RunDirectory) -> None:
    there.start("for n in range(30_000): print(n)").wait(30)
    lines = there.log.read_bytes().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if b"70_driver_log" in line)
    there.log.write_bytes(b"".join(lines[:first] + lines[first + 1 :]))
    followers = Followers(there.open, "")
    wait_until(lambda: followers.finish(here))
    whole = b"".join(b"%d\n" % n for n in range(30_000))
    log = read(here, "azureml-logs/70_driver_log.txt")
    assert len(log) == len(whole) and log[-10_000:] == whole[-10_000:] and log[:100].strip() == b""
    assert "has lost a part of azureml-logs/70_driver_log.txt" in Path(streaming.engine_log(here)).read_text()


def test_more_runs_than_threads(there: There, tmp_path: Path) -> None:
    there.start("print('done')").wait(30)
    runs = [RunDirectory(str(tmp_path / "here" / f"run_{number}")) for number in range(40)]
    for run in runs:
        os.makedirs(run.logs)
    followers = Followers(there.open, "", live=2, turns=1)
    for run in runs:
        followers.follow(run)
    wait_until(lambda: all(followers.is_complete(run) for run in runs))
    assert all(read(run, "azureml-logs/70_driver_log.txt") == b"done\n" for run in runs)


def test_runs_beyond_the_threads_are_read_in_turns(there: There, tmp_path: Path) -> None:
    there.start("import time; print('here', flush=True); time.sleep(600)")
    runs = [RunDirectory(str(tmp_path / "here" / f"run_{number}")) for number in range(5)]
    for run in runs:
        os.makedirs(run.logs)
    followers = Followers(there.open, "", live=1, turns=1)
    for run in runs:
        followers.follow(run)
    wait_until(lambda: all(os.path.exists(run.driver_log) for run in runs))


def test_a_large_output_stays_and_is_named(there: There, here: RunDirectory) -> None:
    there.start("open('outputs/a', 'wb').write(b'x' * 3_000_000)", max_output_bytes=2 << 20).wait(30)
    followers = Followers(there.open, "")
    wait_until(lambda: followers.finish(here))
    assert not os.path.exists(os.path.join(here.outputs, "a"))
    assert "work/outputs/a has 2 MB, over max_output_mb" in Path(here.control_log).read_text()


def test_term_ends_the_script(there: There, here: RunDirectory) -> None:
    process = there.start("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    followers = Followers(there.open, "")
    followers.follow(here)
    wait_until(lambda: os.path.exists(here.driver_log) and read(here, "azureml-logs/70_driver_log.txt"))
    process.terminate()
    assert process.wait(10) == 128 + signal.SIGTERM
    wait_until(lambda: followers.finish(here))
    assert read_json(here.exit)["reason"] == "stopped"
    assert not lives(int(read(here, "azureml-logs/70_driver_log.txt")))


def test_the_script_ends_with_the_process_that_prints(there: There) -> None:
    process = there.start("import time; time.sleep(600)")
    wait_until(lambda: read_json(there.run.script))
    pid = read_json(there.run.script)["pid"]
    process.kill()
    wait_until(lambda: not lives(pid))


def test_a_launcher_that_is_killed_leaves_nothing_running(there: There, here: RunDirectory) -> None:
    there.start("import time; time.sleep(600)")
    wait_until(lambda: read_json(there.run.script))
    pid = read_json(there.run.script)["pid"]
    os.kill(read_json(there.run.started)["pid"], signal.SIGKILL)
    followers = Followers(there.open, "")
    followers.follow(here)
    wait_until(lambda: followers.is_complete(here))
    assert not lives(pid) and Mirror(here).phase(gone=True) is Phase.LOST


def test_another_attempt_goes_on_where_the_reader_is(there: There, here: RunDirectory, tmp_path: Path) -> None:
    from toolkit.inscript import attempts

    there.start("print('one')").wait(30)
    followers = Followers(there.open, "")
    wait_until(lambda: followers.finish(here))
    attempts.set_aside(here)
    again = There(tmp_path / "again")
    again.start("print('two')", sizes=Mirror(here).sizes()).wait(30)
    followers = Followers(again.open, "")
    wait_until(lambda: followers.finish(here))
    assert read(here, "azureml-logs/70_driver_log.txt") == b"one\ntwo\n" and os.path.exists(here.exit)


def test_checkpoints_stay_in_the_folder_for_another_attempt(there: There) -> None:
    process = there.start(
        "import os, time; open(os.environ['WHERE'] + '/checkpoints/c', 'w').write('c'); time.sleep(60)", keep=True
    )
    wait_until(lambda: os.path.exists(os.path.join(there.run.checkpoints, "c")))
    process.terminate()
    process.wait(10)
    there.start("import os; print(open(os.environ['WHERE'] + '/checkpoints/c').read())", keep=True).wait(30)
    assert b'"text": "c\\n"' in there.log.read_bytes()
    assert not os.path.exists(there.run.root)


def test_a_folder_that_others_can_change_is_refused(there: There, tmp_path: Path) -> None:
    runs = tmp_path / "there" / "runs"
    runs.mkdir(parents=True)
    runs.chmod(0o777)
    assert there.start("print(1)").wait(30) != 0
    assert b"can be changed by other users" in there.log.read_bytes() and not os.listdir(runs)
