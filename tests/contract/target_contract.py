"""What every compute target must do. A target's tests subclass `TargetContract` and give a workspace that has it.

class TestMine(TargetContract):
    target = "mine"

A target whose runs need an environment of their own overrides `options`; one whose processes cannot be seen from here
overrides `lives`.
"""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.conftest import FINAL, Submit, driver_log, lives, wait_until
from toolkit import ActivityFailedException, Run, Workspace
from toolkit.status import read_events
from toolkit.targets.base import Plan
from toolkit.targets.registry import create

ORDER = ["NotStarted", "Starting", "Preparing", "Queued", "Running", "CancelRequested", "Finalizing", *FINAL]
SLEEP = "import time\nprint('here', flush=True)\ntime.sleep(600)"


@pytest.mark.shared_home
class TargetContract:
    """The contract. Every test submits a real script and looks at what came of it."""

    target = "local"

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
        run = self.running("import time; print('here', flush=True); time.sleep(0.3); raise SystemExit(3)")
        kill_agent(self.workspace)
        wait_until(lambda: os.path.exists(run.directory.exit))
        assert "code 3" in self.error(run)["message"]

    def test_logs_are_read_from_any_offset(self) -> None:
        run = self.submit("print('first'); print('second')")
        run.wait_for_completion()
        target = create(self.target, self.workspace.configuration, self.workspace.paths)
        from toolkit.targets.base import Handle

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


def kill_agent(workspace: Workspace) -> None:
    """kill -9 of the agent of this workspace, and wait until it is gone."""
    marker = str(workspace.paths.root)
    commands = {process.pid: process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])}
    (agent,) = [pid for pid, command in commands.items() if "toolkit.agent" in command and marker in command]
    os.kill(agent, signal.SIGKILL)
    wait_until(lambda: not lives(agent))
