"""A run as a control script handles it: waiting, details, files, tags, offline runs that are imported."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from tests.agent.test_tracking import known, whole
from tests.conftest import Submit, driver_log, wait_until
from toolkit import (
    ActivityFailedException,
    Experiment,
    Run,
    UserErrorException,
    Workspace,
)
from toolkit.agent import server

ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


def underlined(title: str) -> str:
    return f"{title}\n{'=' * len(title)}\n"


@pytest.mark.shared_home
class TestRunControl:
    def test_wait_with_output_prints_what_v1_printed(
        self, submit: Submit, capsys: pytest.CaptureFixture[str], workspace: Workspace
    ) -> None:
        run = submit("print('first'); print('second')")
        details = run.wait_for_completion(show_output=True)
        server.stop(workspace.paths)
        assert details["status"] == "Completed"
        printed = capsys.readouterr().out
        url = r"http://127\.0\.0\.1:\d+/#/experiments/\w+/runs/\w+\S*"
        pattern = (
            rf"RunId: {run.id}\nWeb View: {url}\n\n"
            + re.escape(underlined("Streaming azureml-logs/70_driver_log.txt") + "\nfirst\nsecond\n\n")
            + re.escape(underlined("Execution Summary"))
            + rf"RunId: {run.id}\n(Status: Completed\n)?Web View: {url}\n\n"
        )
        assert re.fullmatch(pattern, printed), printed

    def test_a_failure_raises_json(self, submit: Submit) -> None:
        run = submit("raise ValueError('grüße')")
        with pytest.raises(ActivityFailedException) as caught:
            run.wait_for_completion()
        error = json.loads(caught.value.message)["error"]
        assert error["code"] == "UserError" and "ValueError: grüße" in error["message"]
        assert "grüße" in caught.value.message, "for people to read"
        details = run.wait_for_completion(raise_on_error=False)
        assert details["status"] == "Failed" and details["error"]["error"] == error

    def test_details(self, submit: Submit) -> None:
        run = submit("print(1)", arguments=["--lr", 0.1], max_run_duration_seconds=60)
        run.wait_for_completion()
        details = run.get_details()
        assert {
            *("runId", "target", "status", "startTimeUtc", "endTimeUtc", "properties", "inputDatasets"),
            *("outputDatasets", "runDefinition", "logFiles", "submittedBy", "phases"),
        } <= {*details}
        assert (details["runId"], details["target"], details["status"]) == (run.id, "local", "Completed")
        assert re.fullmatch(ISO, details["startTimeUtc"]) and re.fullmatch(ISO, details["endTimeUtc"])
        assert details["startTimeUtc"] < details["endTimeUtc"]
        definition = details["runDefinition"]
        assert definition["script"] == "train.py" and definition["arguments"] == ["--lr", "0.1"]
        assert definition["maxRunDurationSeconds"] == 60 and definition["nodeCount"] == 1
        assert details["properties"]["ContentSnapshotId"] == run.get_snapshot_id()
        assert details["properties"]["_azureml.ComputeTargetType"] == "local"
        assert "azureml-logs/70_driver_log.txt" in details["logFiles"] and "error" not in details
        assert run.get_details_with_logs()["logFiles"]["azureml-logs/70_driver_log.txt"] == "1\n"
        assert json.loads(json.dumps(details)) == details, "plain data"

    def test_what_a_run_says_of_itself(self, submit: Submit, workspace: Workspace) -> None:
        run = submit("print(1)", experiment="itself")
        assert (run.experiment.name, run.number, run.parent, run.type) == ("itself", 1, None, "azureml.scriptrun")
        assert run.name == run.display_name == run.id
        run.wait_for_completion()
        assert run.status == run.get_status() == "Completed"
        assert run.get_detailed_status() == {"status": "Completed", "details": ""}
        assert repr(run) == f"Run(experiment='itself', id='{run.id}', status='Completed')"
        again = Run(run.experiment, run.id)
        assert (again.id, again.get_status()) == (run.id, "Completed")

    def test_ctrl_c_while_waiting_leaves_the_run_going(
        self, submit: Submit, workspace: Workspace, tmp_path: Path
    ) -> None:
        run = submit("import time\nprint('here', flush=True)\ntime.sleep(600)")
        wait_until(lambda: os.path.exists(run.directory.driver_log) and "here" in driver_log(run))
        watching = textwrap.dedent(
            f"""
            import os, signal, sys, threading, time
            from toolkit import ExperimentExecutionException, Workspace

            def interrupt():  # once the main thread has been inside the waiting for a while
                seen = 0
                while seen < 20:
                    time.sleep(0.001)
                    frame = sys._current_frames()[threading.main_thread().ident]
                    seen += frame.f_code.co_name == "wait_for_completion"
                os.kill(os.getpid(), signal.SIGINT)

            run = Workspace.get("test").get_run({run.id!r})
            threading.Thread(target=interrupt).start()
            try:
                run.wait_for_completion()
            except ExperimentExecutionException as error:
                print(error)
            """
        )
        answer = subprocess.run([sys.executable, "-c", watching], capture_output=True, text=True, check=True)
        assert answer.stdout == (
            "The output streaming for the run interrupted.\n"
            "But the run is still executing on the compute target.\n"
            f"To see it again: toolkit logs -f {run.id}\nTo cancel it: toolkit cancel {run.id}\n"
        )
        assert run.get_status() == "Running"

    def test_files(self, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run = submit(
            """
            import io, os
            from toolkit import Run
            os.makedirs("outputs/deep")
            open("outputs/deep/model.bin", "w").write("weights")
            open("outputs/plain.txt", "w").write("plain")
            open("logs/events.txt", "w").write("event")
            Run.get_context().upload_file("kept/stream.txt", io.BytesIO(b"stream"))
            print("said")
            """
        )
        run.wait_for_completion()
        names = run.get_file_names()
        assert (
            names
            == sorted(names)
            == [
                *("azureml-logs/60_control_log.txt", "azureml-logs/70_driver_log.txt", "kept/stream.txt"),
                *("logs/events.txt", "outputs/deep/model.bin", "outputs/plain.txt"),
            ]
        )
        monkeypatch.chdir(tmp_path)
        run.download_file("outputs/plain.txt")
        assert (tmp_path / "plain.txt").read_text() == "plain"
        run.download_file("outputs/plain.txt", "made/for/it.txt")
        assert (tmp_path / "made/for/it.txt").read_text() == "plain"
        run.download_file("outputs/deep/model.bin", str(tmp_path / "made"))
        assert (tmp_path / "made/model.bin").read_text() == "weights", "an existing folder gets the base name"
        with pytest.raises(UserErrorException) as caught:
            run.download_file("outputs/none.txt")
        assert str(caught.value).startswith(
            f"Cannot find the artifact 'outputs/none.txt' in container 'dcid.{run.id}'; it has: azureml-logs/60_control"
        )
        run.download_files("outputs/", str(tmp_path / "all"))
        assert (tmp_path / "all/outputs/deep/model.bin").read_text() == "weights"
        run.download_files("outputs", str(tmp_path / "cut"), append_prefix=False)
        assert sorted(str(path.relative_to(tmp_path / "cut")) for path in (tmp_path / "cut").rglob("*.*")) == [
            "deep/model.bin", "plain.txt",
        ]  # fmt: skip
        logs = run.get_all_logs(str(tmp_path / "logs"))
        assert {Path(path).name for path in logs} == {"60_control_log.txt", "70_driver_log.txt", "events.txt"}
        assert (tmp_path / "logs/azureml-logs/70_driver_log.txt").read_text() == "said\n"
        assert run.get_all_logs() and (tmp_path / run.id / "logs/events.txt").is_file()

    def test_what_is_logged_from_outside_after_the_end_reaches_mlflow(self, submit: Submit, tmp_path: Path) -> None:
        run = submit("from toolkit import Run; Run.get_context().tag('early', 'yes')")
        run.wait_for_completion()
        whole(run)
        run.tag("late", "yes")
        run.log("verdict", 0.5)
        run.remove_tags(["early"])
        run.upload_file("late.txt", io.BytesIO(b"late"))
        assert run.get_tags() == {"late": "yes"} and run.get_metrics() == {"verdict": 0.5}
        wait_until(lambda: known(run).data.metrics == {"verdict": 0.5})
        found = whole(run)
        assert found.data.tags["late"] == "yes" and "early" not in found.data.tags
        assert found.info.status == "FINISHED" and "late.txt" in run.get_file_names()

    def test_an_offline_run_is_imported(self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOOLKIT_OFFLINE_QUIET", "1")
        offline = Run.get_context()
        offline.log("loss", 0.5)
        offline.log("loss", 0.25)
        offline.log_row("fit", epoch=1)
        offline.tag("kind", "by hand")
        offline.upload_file("model.bin", io.BytesIO(b"weights"))
        experiment = Experiment(workspace, "imported")
        run = experiment.import_offline_run(offline.id)
        assert run.get_status() == "Completed" and run.id == offline.id and run.number == 1
        assert run.get_metrics() == {"loss": [0.5, 0.25], "fit": {"epoch": 1}}
        assert run.get_file_names() == ["model.bin"] and run.get_tags() == {"kind": "by hand"}
        assert [found.id for found in experiment.get_runs()] == [offline.id]
        found = whole(run)
        assert found.data.metrics == {"loss": 0.25, "fit/epoch": 1.0} and found.info.status == "FINISHED"
        assert found.data.tags["kind"] == "by hand" and found.info.run_name == offline.id
        with pytest.raises(UserErrorException, match="is in the workspace 'test' already"):
            experiment.import_offline_run(offline.id)

    def test_an_offline_run_that_is_not_there(self, workspace: Workspace) -> None:
        for run_id in ("OfflineRun_none", "../../etc"):
            with pytest.raises(UserErrorException, match=re.escape(run_id)):
                Experiment(workspace, "imported").import_offline_run(run_id)

    def test_the_driver_log_of_a_run_that_goes_on_can_be_read(self, submit: Submit) -> None:
        run = submit("import time\nprint('here', flush=True)\ntime.sleep(600)")
        wait_until(lambda: "azureml-logs/70_driver_log.txt" in run.get_details()["logFiles"])
        wait_until(lambda: run.get_details_with_logs()["logFiles"]["azureml-logs/70_driver_log.txt"] == "here\n")
        details = run.get_details()
        assert details["status"] == "Running" and details["endTimeUtc"] is None


def test_a_cancel_is_seen_at_once(submit: Submit) -> None:
    run = submit("import time; time.sleep(600)")
    run.cancel()
    assert run.get_status() in ("CancelRequested", "Finalizing", "Canceled")
    assert run.wait_for_completion()["status"] == "Canceled"


@pytest.mark.parametrize("started", [False, True])
def test_failing_a_run_that_goes_on_ends_it(started: bool, submit: Submit) -> None:
    run = submit("import time; time.sleep(600)")
    if started:
        wait_until(lambda: run.get_status() == "Running")
    run.fail("the data was wrong", "BadData")
    assert run.get_status() == "Failed"
    assert run.get_details()["error"] == {"error": {"code": "BadData", "message": "the data was wrong"}}
    with pytest.raises(ActivityFailedException, match="the data was wrong"):
        run.wait_for_completion()


def test_the_error_is_the_last_line_that_says_something(submit: Submit) -> None:
    run = submit("import sys; print('out of luck'); print('=' * 60); sys.exit(3)")
    error = run.wait_for_completion(raise_on_error=False)["error"]["error"]["message"]
    assert error == "train.py exited with code 3: out of luck"


def test_a_run_that_waits_for_another_says_so(
    submit: Submit, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.run.QUIET_SECONDS", 0.1)
    first = submit("import time; time.sleep(600)")
    second = submit("print('my turn')")
    wait_until(lambda: first.get_status() == "Running" and second.get_status() == "Queued")
    threading.Timer(1.0, first.cancel).start()
    second.wait_for_completion(show_output=True)
    shown = capsys.readouterr()
    assert "my turn" in shown.out and shown.err.count(f"{second.id} is queued: waiting for a free slot") == 1
