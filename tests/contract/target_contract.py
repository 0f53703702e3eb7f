"""What every compute target must do. A target's tests subclass `TargetContract` and give a workspace that has it.

class TestMine(TargetContract):
    target = "mine"

The workspace gives the target one run at a time (`slots: 1`, `max_concurrent_runs: 1`) and a grace of a second. A
target whose runs need an environment of their own overrides `options`; one whose processes cannot be seen from here
overrides `lives`, `lose` and `little_memory`.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import tempfile
import textwrap
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import FINAL, Submit, driver_log, lives, needs, wait_until
from toolkit import ActivityFailedException, Experiment, Run, ScriptRunConfig, Workspace
from toolkit.inscript.files import read_json
from toolkit.status import read_events
from toolkit.targets.base import Handle, Plan
from toolkit.targets.registry import create

ORDER = ["NotStarted", "Starting", "Preparing", "Queued", "Running", "CancelRequested", "Finalizing", *FINAL]
MEMORY = 64 * 2**20  # bytes of a run that is to have too little
SLEEP = "import time\nprint('here', flush=True)\ntime.sleep(600)"


@pytest.mark.shared_home
class TargetContract:
    """The contract. Every test submits a real script and looks at what came of it."""

    target = "local"
    many = 100  # runs at once
    wide = ""  # a target of the same engine that takes many runs at once, where there is one

    @pytest.fixture(autouse=True)
    def _submit_to_target(self, submit: Submit, workspace: Workspace) -> None:
        self._submit = submit
        self.workspace = workspace

    def options(self) -> dict[str, object]:
        """The options of every `ScriptRunConfig`."""
        return {"compute_target": self.target}

    def lives(self, run: Run, pid: int) -> bool:
        """Whether a process of the run, by the pid that it has where it runs, still lives."""
        return lives(pid)

    def lose(self, run: Run) -> None:
        """Have the run's launcher vanish, as when its machine goes down: it records nothing."""
        pid = read_json(run.directory.started)["pid"]
        command = " ".join(psutil.Process(pid).cmdline())
        assert "toolkit.inscript" in command, "not in a container, whose pids are others here"
        os.kill(pid, signal.SIGKILL)

    @contextmanager
    def little_memory(self) -> Iterator[dict[str, object]]:
        """Options of a run that has `MEMORY` bytes; a script with an argument writes its pid there first."""
        with memory_group(MEMORY) as group:
            yield {"arguments": [group]}

    def submit(self, script: str, **options: object) -> Run:
        return self._submit(script, **{**self.options(), **options})

    def running(self, script: str = SLEEP, **options: object) -> Run:
        """A run whose script has said its first word."""
        run = self.submit(script, **options)
        wait_until(lambda: os.path.exists(run.directory.driver_log) and "here" in driver_log(run))
        return run

    def error(self, run: Run) -> dict[str, str]:
        with pytest.raises(ActivityFailedException):
            run.wait_for_completion()
        error: dict[str, str] = run.get_details()["error"]["error"]
        return error

    def test_a_script_runs_and_its_traces_are_complete(self) -> None:
        run = self.submit(
            """
            import sys
            from toolkit import Run
            run = Run.get_context()
            for loss in (3.0, 2.0, 1.0):
                run.log("loss", loss)
            open("outputs/model.bin", "wb").write(b"weights")
            open("logs/events.txt", "w").write("event")
            print("arguments", sys.argv[1:])
            """,
            arguments=["--lr", 0.5, "two words", "ümläut"],
        )
        assert run.wait_for_completion()["status"] == "Completed"
        assert "arguments ['--lr', '0.5', 'two words', 'ümläut']" in driver_log(run)
        assert run.get_metrics() == {"loss": [3.0, 2.0, 1.0]}
        assert {"outputs/model.bin", "logs/events.txt", "azureml-logs/70_driver_log.txt"} <= {*run.get_file_names()}

    def test_statuses_come_in_order_and_once(self) -> None:
        run = self.submit("print(1)")
        run.wait_for_completion()
        statuses = [event.status for event in read_events(run.directory)]
        assert statuses == sorted(statuses, key=ORDER.index)
        assert len({*statuses}) == len(statuses)
        assert statuses[0] == "NotStarted" and statuses[-1] == "Completed"
        assert {"Queued", "Running", "Finalizing"} <= {*statuses}

    def test_a_script_knows_its_own_run(self) -> None:
        run = self.submit(
            """
            from toolkit import Run
            run = Run.get_context()
            print(run.id, run.experiment.name, run.get_status(), run.get_details()["target"])
            """
        )
        run.wait_for_completion()
        assert driver_log(run).split() == [run.id, run.experiment.name, "Running", self.target]

    def test_what_a_child_writes_to_its_parent_arrives(self, tmp_path: Path) -> None:
        (tmp_path / "child").mkdir()
        (tmp_path / "child" / "train.py").write_text(
            textwrap.dedent(
                """
                from toolkit import Run
                parent = Run.get_context().parent
                for score in (1.0, 2.0):
                    parent.log("score", score)
                parent.tag("by", "child")
                parent.upload_file("found/child.txt", "train.py")
                """
            )
        )
        with Experiment(self.workspace, "family").start_logging() as parent:
            parent.log("mine", 3.0)
            options: Any = self.options()
            config = ScriptRunConfig(str(tmp_path / "child"), script="train.py", **options)
            child = parent.submit_child(config)
            child.wait_for_completion()
            assert parent.get_metrics() == {"mine": 3.0, "score": [1.0, 2.0]}, driver_log(child)
            assert parent.get_tags() == {"by": "child"}
        found = self.workspace.get_run(parent.id)
        assert "found/child.txt" in found.get_file_names() and child.get_metrics() == {}

    def test_exit_code_and_last_words_are_the_error(self) -> None:
        error = self.error(self.submit("raise ValueError('no such layer')"))
        assert error["code"] == "UserError"
        assert "exited with code 1" in error["message"] and "ValueError: no such layer" in error["message"]

    def test_exit_code_is_kept(self) -> None:
        assert "exited with code 42" in self.error(self.submit("import sys; sys.exit(42)"))["message"]

    def test_a_signal_is_told_apart(self) -> None:
        error = self.error(self.submit("import os; os.kill(os.getpid(), 11)"))
        assert error["code"] == "Signal" and "SIGSEGV" in error["message"]

    def test_a_time_out_is_told_apart_and_ends_the_script(self) -> None:
        error = self.error(self.submit(SLEEP, max_run_duration_seconds=1))
        assert error["code"] == "TimedOut" and "max_run_duration_seconds=1" in error["message"]

    def test_a_missing_command_says_so(self) -> None:
        source = Path(self.workspace.paths.root).parent / "other"
        source.mkdir(exist_ok=True)
        error = self.error(self._command(source, "no-such-program --at-all"))
        assert "no-such-program" in error["message"]

    def _command(self, source: Path, command: str) -> Run:
        from toolkit import Experiment, ScriptRunConfig

        config = ScriptRunConfig(str(source), command=command, **self.options())  # type: ignore[arg-type]
        return Experiment(self.workspace, "tests").submit(config)

    def test_cancel_while_queued(self) -> None:
        first = self.running()
        second = self.submit("print('never')")
        wait_until(lambda: second.get_status() == "Queued")
        second.cancel()
        assert second.wait_for_completion()["status"] == "Canceled"
        assert not os.path.exists(second.directory.driver_log)
        first.cancel()
        assert first.wait_for_completion()["status"] == "Canceled"

    def test_cancel_at_once(self) -> None:
        run = self.submit(SLEEP)
        run.cancel()
        assert run.wait_for_completion()["status"] == "Canceled"

    def test_cancel_ends_the_whole_process_tree(self) -> None:
        run = self.running(
            """
            import os, subprocess, sys, time
            daemon = "import os, time; os.setsid(); print('daemon', os.getpid(), flush=True); time.sleep(600)"
            stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
            subprocess.Popen([sys.executable, "-c", daemon])
            child = subprocess.Popen([sys.executable, "-c", stubborn])
            time.sleep(1)
            open("outputs/partial.txt", "w").write("kept")
            print("here", os.getpid(), child.pid, flush=True)
            time.sleep(600)
            """
        )
        words = driver_log(run).replace("daemon", "").replace("here", "").split()
        pids = [int(word) for word in words]
        run.cancel()
        run.cancel()  # twice is once
        assert run.wait_for_completion()["status"] == "Canceled"
        assert not [pid for pid in pids if self.lives(run, pid)]
        assert "outputs/partial.txt" in run.get_file_names()

    def test_cancel_after_the_end_changes_nothing(self) -> None:
        run = self.submit("print(1)")
        run.wait_for_completion()
        run.cancel()
        assert run.get_status() == "Completed"

    def test_cancel_while_no_agent_is_there(self) -> None:
        run = self.running()
        kill_agent(self.workspace)
        run.cancel()
        assert run.wait_for_completion()["status"] == "Canceled"

    def test_processes_left_behind_are_ended(self) -> None:
        run = self.submit(
            """
            import os, time
            if os.fork() == 0:
                os.setsid()
                print("child", os.getpid(), flush=True)
                time.sleep(600)
            time.sleep(0.5)
            """
        )
        assert run.wait_for_completion()["status"] == "Completed"
        pid = int(driver_log(run).split()[-1])
        assert not self.lives(run, pid)

    def test_runs_queue_in_order_and_do_not_oversubscribe(self) -> None:
        script = "import time; print(time.time()); time.sleep(0.2); print(time.time())"
        runs = [self.submit(script) for _ in range(4)]
        for run in runs:
            run.wait_for_completion()
        spans = [tuple(map(float, driver_log(run).split())) for run in runs]
        assert spans == sorted(spans), "first come, first served"
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans)), "one at a time"

    def test_the_agent_may_be_ended_at_any_moment(self) -> None:
        run = self.running("import time; print('here', flush=True); time.sleep(1.5); print('done')")
        kill_agent(self.workspace)
        waiting = self.submit("print('second')")  # any command brings an agent back
        assert run.wait_for_completion()["status"] == "Completed"
        assert driver_log(run) == "here\ndone\n"
        assert waiting.wait_for_completion()["status"] == "Completed"
        assert [event.status for event in read_events(run.directory)].count("Running") == 1

    def test_the_run_ends_while_no_agent_is_there(self) -> None:
        script = "import os, time; print('here', os.getpid(), flush=True); time.sleep(0.3); raise SystemExit(3)"
        run = self.running(script)
        pid = int(driver_log(run).split()[1])
        kill_agent(self.workspace)
        wait_until(lambda: not self.lives(run, pid))
        assert "code 3" in self.error(run)["message"]

    @pytest.mark.parametrize("milliseconds", [0, 30, 100, 300])
    def test_an_agent_that_is_ended_on_the_way_starts_the_script_once(self, milliseconds: int) -> None:
        run = self.submit("import time; print('here', flush=True); time.sleep(0.5)")
        time.sleep(milliseconds / 1000)
        kill_agent(self.workspace, if_there=True)
        assert run.wait_for_completion()["status"] == "Completed"
        assert driver_log(run) == "here\n"
        assert [event.status for event in read_events(run.directory)].count("Running") == 1

    def test_many_runs_at_once_end_each_with_its_own(self) -> None:
        script = "import sys; from toolkit import Run; Run.get_context().log('number', int(sys.argv[1]))"
        wide = {"compute_target": self.wide} if self.wide else {}
        runs = [self.submit(script, arguments=[number], **wide) for number in range(self.many)]
        for number, run in enumerate(runs):
            assert run.wait_for_completion()["status"] == "Completed"
            assert run.get_metrics() == {"number": number}

    def test_a_lost_machine_is_told_apart(self) -> None:
        run = self.running("import os, time; print('here', os.getpid(), flush=True); time.sleep(600)")
        pid = int(driver_log(run).split()[1])
        self.lose(run)
        error = self.error(run)
        assert error["code"] in ("LauncherLost", "ContainerEnded", "NodeLost") and "Submit it again" in error["message"]
        assert not self.lives(run, pid), "nothing of it goes on unseen"

    def test_a_run_that_was_lost_is_started_again_and_finds_its_checkpoint(self) -> None:
        run = self.running(
            """
            import os, time
            from toolkit import Run
            run = Run.get_context()
            kept = os.path.join(os.environ["TOOLKIT_CHECKPOINTS"], "step")
            run.log("attempt", int(os.environ["TOOLKIT_ATTEMPT"]))
            if os.path.exists(kept):
                print("resumed at", open(kept).read())
            else:
                with open(kept, "w") as file:
                    file.write("7")
                open("outputs/first.txt", "w").write("kept")
                print("here", flush=True)
                time.sleep(600)
            """,
            run_config={"max_retries": 2},
        )
        self.lose(run)
        assert run.wait_for_completion()["status"] == "Completed"
        assert driver_log(run) == "here\nresumed at 7\n"
        assert run.get_metrics() == {"attempt": [1, 2]}
        assert "outputs/first.txt" in run.get_file_names()
        reasons = [event.reason for event in read_events(run.directory)]
        assert "attempt 2 of 3: its machine was lost" in reasons

    def test_an_error_of_the_script_is_not_tried_again(self) -> None:
        run = self.submit("print('here'); raise SystemExit(9)", run_config={"max_retries": 3})
        assert "exited with code 9" in self.error(run)["message"]
        assert driver_log(run) == "here\n"

    def test_out_of_memory_is_told_apart(self) -> None:
        with self.little_memory() as options:
            error = self.error(
                self.submit(
                    f"""
                    import os, sys
                    for group in sys.argv[1:]:
                        open(group, "w").write(str(os.getpid()))
                    held = [os.urandom(1 << 20) for _ in range({2 * MEMORY >> 20})]
                    """,
                    **options,
                )
            )
        assert error["code"] == "OutOfMemory" and "memory" in error["message"]

    def test_all_that_was_put_out_is_there(self) -> None:
        run = self.submit(
            """
            import hashlib, os
            from toolkit import Run
            run = Run.get_context()
            for step in range(5000):
                run.log("loss", step / 2)
            os.makedirs("outputs/tief/mit leerzeichen")
            content = os.urandom(20_000_000)
            open("outputs/tief/mit leerzeichen/modell ü.bin", "wb").write(content)
            open("notes.txt", "w").write("uploaded")
            run.upload_file("outputs/notes.txt", "notes.txt")
            print(hashlib.sha256(content).hexdigest())
            """
        )
        assert run.wait_for_completion()["status"] == "Completed"
        assert run.get_metrics() == {"loss": [step / 2 for step in range(5000)]}
        names = run.get_file_names()
        assert {"outputs/tief/mit leerzeichen/modell ü.bin", "outputs/notes.txt"} <= {*names}
        with tempfile.TemporaryDirectory() as folder:
            run.download_file("outputs/tief/mit leerzeichen/modell ü.bin", folder)
            (model,) = Path(folder).rglob("*.bin")
            assert hashlib.sha256(model.read_bytes()).hexdigest() == driver_log(run).strip()

    def test_names_with_spaces_quotes_and_unicode(self) -> None:
        awkward = 'it\'s "quoted" $HOME `id` ; ümläut\n#\\end'
        run = self.submit(
            "import os, sys; print(ascii(sys.argv[1:])); print(ascii(os.environ['AWKWARD']))",
            name="mein training ü.py",
            arguments=["--name", awkward.replace("$HOME", "")],
            run_config={"environment_variables": {"AWKWARD": awkward}},
        )
        assert run.wait_for_completion()["status"] == "Completed"
        first, second = driver_log(run).splitlines()
        assert first == ascii(["--name", awkward.replace("$HOME", "")]) and second == ascii(awkward)

    def test_the_log_comes_while_the_script_runs(self) -> None:
        run = self.running()
        target = create(self.target, self.workspace.configuration, self.workspace.paths)
        assert target.logs(Handle(run.directory.root), 0) == b"here\n"
        run.cancel()
        assert run.wait_for_completion()["status"] == "Canceled"

    def test_logs_are_read_from_any_offset(self) -> None:
        run = self.submit("print('first'); print('second')")
        run.wait_for_completion()
        target = create(self.target, self.workspace.configuration, self.workspace.paths)
        handle = Handle(run.directory.root)
        assert target.logs(handle, 0) == b"first\nsecond\n"
        assert target.logs(handle, 6) == b"second\n"
        assert target.logs(handle, 999) == b""

    def test_the_plan_is_what_was_run(self) -> None:
        run = self.submit("print(1)", arguments=["--x", "1"])
        run.wait_for_completion()
        plan = Plan.load(run.directory)
        assert plan is not None and plan.command[-3:] == ["train.py", "--x", "1"]

    def test_output_that_is_not_text(self) -> None:
        run = self.submit("import os; os.write(1, bytes(range(256)) * 4)")
        assert run.wait_for_completion(show_output=True)["status"] == "Completed"
        assert Path(run.directory.driver_log).read_bytes() == bytes(range(256)) * 4

    def test_a_hundred_megabytes_of_output(self) -> None:
        run = self.submit("line = 'x' * 1023\nfor _ in range(100 * 1024): print(line)")
        assert run.wait_for_completion()["status"] == "Completed"
        assert os.path.getsize(run.directory.driver_log) == 100 * 1024 * 1024

    def test_arguments_expand_variables_where_the_script_runs(self) -> None:
        run = self.submit(
            """
            import os, sys
            print(sys.argv[1:] == [os.environ["AZUREML_RUN_ID"], os.environ["HOME"] + "x", "$NO_SUCH"])
            """,
            arguments=["$AZUREML_RUN_ID", "${HOME}x", "$NO_SUCH"],
        )
        run.wait_for_completion()
        assert driver_log(run).strip() == "True"


@contextmanager
def memory_group(limit: int) -> Iterator[str]:
    """A control group of this machine whose processes have `limit` bytes; the file that takes their pids."""
    group = Path("/sys/fs/cgroup/memory", f"toolkit-test-{uuid.uuid4().hex[:8]}")
    needs(os.access(group.parent / "memory.limit_in_bytes", os.W_OK), "root, and control groups of memory (v1)")
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(limit))
    try:
        yield str(group / "cgroup.procs")
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def kill_agent(workspace: Workspace, if_there: bool = False) -> None:
    """kill -9 of the agent of this workspace, and wait until it is gone."""
    marker = str(workspace.paths.root)
    commands = {process.pid: process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])}
    agents = [pid for pid, command in commands.items() if "toolkit.agent" in command and marker in command]
    assert if_there or len(agents) == 1
    for agent in agents:
        os.kill(agent, signal.SIGKILL)
        wait_until(lambda agent=agent: not lives(agent))
