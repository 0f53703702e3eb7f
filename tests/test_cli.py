"""The `toolkit` command, as a process of its own: what people read, and `--json` for programs."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Submit, driver_log, wait_until
from toolkit import Run, Workspace
from toolkit.agent import server, wake


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a project that names the workspace `test`."""
    folder = tmp_path / "project"
    (folder / ".toolkit").mkdir(parents=True)
    (folder / ".toolkit" / "config.json").write_text('{"workspace_name": "test"}')
    monkeypatch.chdir(folder)
    return folder


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "toolkit.cli", *words], capture_output=True, text=True)


def text(*words: str) -> str:
    answer = call(*words)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == "", "quiet when piped"
    return answer.stdout


def facts(*words: str) -> Any:
    return json.loads(text(*words, "--json"))


def trouble(*words: str) -> str:
    """The message of a command that fails; with `--json` it is the same one."""
    answer, for_programs = call(*words), call(*words, "--json")
    assert answer.returncode == for_programs.returncode == 1 and answer.stdout == for_programs.stderr == ""
    assert answer.stderr.startswith("toolkit: ") and "Traceback" not in answer.stderr
    message = answer.stderr.removeprefix("toolkit: ").rstrip("\n")
    assert json.loads(for_programs.stdout)["message"] == message
    return message


@pytest.mark.shared_home
class TestRuns:
    def test_runs(self, submit: Submit, workspace: Workspace) -> None:
        if not workspace.experiments:
            assert text("runs").startswith("The workspace 'test' has no runs yet: ")
            assert facts("runs") == []
            assert trouble("show") == "the workspace 'test' has no runs yet"
        first = submit("raise ValueError('no such layer')", experiment="listed")
        second = submit("print(1)", experiment="listed")
        for run in (first, second):
            run.wait_for_completion(raise_on_error=False)
        listed = text("runs", "-e", "listed")
        assert listed.index(second.id) < listed.index(first.id), "the newest first"
        assert "Completed" in listed and "Failed" in listed and "no such layer" in listed
        rows = facts("runs", "-e", "listed")
        assert [(row["run"], row["status"], row["number"]) for row in rows] == [
            (second.id, "Completed", 2), (first.id, "Failed", 1),
        ]  # fmt: skip
        assert {*rows[0]} == {"run", "experiment", "number", "status", "reason", "target", "submitted"}
        assert facts("runs", "-n", "1")[0]["run"] == second.id and len(facts("runs", "-n", "1")) == 1
        assert "… and 1 older ones: `toolkit runs -n 0` lists all" in text("runs", "-e", "listed", "-n", "1")
        assert facts("runs", "-e", "none") == []

    def test_show(self, submit: Submit) -> None:
        run = submit(
            """
            from toolkit import Run
            run = Run.get_context()
            for number in range(10):
                run.log("loss", 1 / (number + 1))
            run.tag("[bold]kind", "x")
            """,
            arguments=["--lr", 0.1],
        )
        run.wait_for_completion()
        shown = text("show", run.id)
        assert "Completed" in shown and "loss: 1, 0.5, 0.333333, … 0.111111, 0.1 (10 values)" in shown
        assert "[bold]kind=x" in shown and "azureml-logs/70_driver_log.txt" in shown and "--lr 0.1" in shown
        found = facts("show", run.id)
        assert found["run"] == run.id and found["metrics"]["loss"][1] == 0.5 and found["tags"] == {"[bold]kind": "x"}
        assert {"snapshot", "queue", "start", "first_metric", "script"} <= {*found["phases"]}
        assert found["arguments"] == ["--lr", "0.1"] and "azureml-logs/70_driver_log.txt" in found["files"]
        assert facts("show")["run"] == run.id, "the newest by default"
        assert facts("show", run.id[-8:])["run"] == facts("show", run.id[:-4])["run"] == run.id

    def test_a_run_that_is_not_there_or_not_one(self, submit: Submit) -> None:
        for _ in range(2):
            submit("print(1)", experiment="near").wait_for_completion()
        message = "there is no run 'none' in the workspace 'test'; `toolkit runs` lists them"
        assert trouble("show", "none") == trouble("logs", "none") == trouble("cancel", "none") == message
        assert trouble("show", "near") == "2 runs are called 'near' in the workspace 'test'; `toolkit runs` lists them"

    def test_logs(self, submit: Submit) -> None:
        run = submit("print('first')")
        run.wait_for_completion()
        heading = "Streaming azureml-logs/70_driver_log.txt\n========================================\n"
        assert text("logs", run.id) == f"{heading}\nfirst\n\n"
        found = facts("logs", run.id)
        assert found["run"] == run.id and found["logs"]["azureml-logs/70_driver_log.txt"] == "first\n"

    def test_logs_follow_until_the_end(self, submit: Submit, tmp_path: Path) -> None:
        go = tmp_path / "go"
        run = submit(
            f"""
            import os, time
            print("first", flush=True)
            while not os.path.exists({str(go)!r}):
                time.sleep(0.01)
            print("last")
            """
        )
        wait_until(lambda: run.get_status() == "Running")
        command = [sys.executable, "-m", "toolkit.cli", "logs", "-f", run.id]
        following = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert following.stdout is not None
        printed = [following.stdout.readline() for _ in range(4)]
        assert printed[-1] == "first\n", "while the run goes on"
        go.touch()
        rest, _ = following.communicate()
        assert rest == "last\n\n" and following.returncode == 0

    def test_a_reader_that_leaves_is_no_trouble(self, submit: Submit) -> None:
        run = submit("for n in range(100_000): print('x' * 100)")
        run.wait_for_completion()
        command = f"{sys.executable} -m toolkit.cli logs {run.id} | head -n 1"
        answer = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True)
        assert answer.stdout.startswith("Streaming") and answer.stderr == ""

    def test_cancel(self, submit: Submit) -> None:
        run = submit("import time\nprint('here', flush=True)\ntime.sleep(600)")
        wait_until(lambda: Path(run.directory.driver_log).exists() and "here" in driver_log(run))
        assert text("cancel", run.id) == f"{run.id} is being cancelled\n"
        assert run.wait_for_completion()["status"] == "Canceled"
        assert text("cancel", run.id) == f"{run.id} had ended already: Canceled\n"
        assert facts("cancel", run.id) == {"run": run.id, "status": "Canceled", "requested": False}
        assert trouble("cancel") == "say which run: `toolkit cancel RUN`; `toolkit runs` lists them"

    def test_import(self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOOLKIT_OFFLINE_QUIET", "1")
        offline = Run.get_context()
        offline.log("loss", 0.5)
        offline.upload_file("a.txt", io.BytesIO(b"a"))
        assert facts("import", offline.id, "-e", "by-hand") == {"run": offline.id, "experiment": "by-hand"}
        assert facts("show", offline.id)["metrics"] == {"loss": 0.5}
        assert "is in the workspace 'test' already" in trouble("import", offline.id)
        assert "OfflineRun_none" in trouble("import", "OfflineRun_none")

    def test_ui_and_stop(self, submit: Submit, workspace: Workspace) -> None:
        run = submit("import time\nprint('here', flush=True)\ntime.sleep(600)")
        wait_until(lambda: run.get_status() == "Running")
        found = facts("ui")
        state = server.running(workspace.paths)
        assert state is not None and found["url"].startswith(f"http://127.0.0.1:{state['port']}/#/experiments")
        assert found["tracking_uri"] == workspace.get_mlflow_tracking_uri()
        assert text("ui") == found["url"] + "\n"
        for port in ("0", "-1", "65536"):
            assert trouble("ui", f"--port={port}") == f"--port {port} is no port: it is a number from 1 to 65535"
        stopped = facts("stop")
        assert stopped == {"stopped": ["MLflow UI", "agent"], "active_runs": [run.id]}
        assert server.running(workspace.paths) is None and not wake.is_running(workspace.paths)
        assert text("stop").startswith("Nothing was running\n1 runs have not ended; what runs goes on")
        assert run.get_status() == "Running"
        wait_until(lambda: wake.is_running(workspace.paths))  # whoever looks brings the agent back


def test_init(project: Path, toolkit_home: Path) -> None:
    (project / ".toolkit" / "config.json").unlink()
    assert facts("init", "mine") == {
        "workspace": "mine", "folder": str(toolkit_home / "workspaces" / "mine"), "config": ".toolkit/config.json",
    }  # fmt: skip
    assert json.loads((project / ".toolkit" / "config.json").read_text()) == {"workspace_name": "mine"}
    assert Workspace.from_config().name == "mine"
    assert text("init", "mine").startswith("Workspace 'mine' is in "), "again is no harm"
    assert facts("init")["workspace"] == "project", "named like its folder by default"
    assert "cannot be the name of a workspace" in trouble("init", "a b")


def test_no_config_and_no_workspace(project: Path) -> None:
    (project / ".toolkit" / "config.json").unlink()
    assert trouble("runs").startswith("We could not find config.json in: ")
    assert trouble("runs", "-w", "none").startswith("there is no workspace 'none' on this machine; it has: none. Make")


def test_a_config_that_names_a_new_workspace_keeps_json_clean(project: Path) -> None:
    answer = call("runs", "--json")
    assert json.loads(answer.stdout) == [] and answer.stderr.startswith("Created the workspace 'test' in ")


def test_doctor(toolkit_home: Path) -> None:
    findings = {finding["what"]: finding for finding in facts("doctor")}
    assert {"python", "home folder", "uv", "interpreters", "mlflow", "GPU", "git", "container engine"} <= {*findings}
    assert {"podman", "ssh", "Slurm", "Ray", "Kubernetes", "package index", "channel conda-forge"} <= {*findings}
    assert findings["python"]["found"] and sys.executable in findings["python"]["detail"]
    assert str(toolkit_home) in findings["home folder"]["detail"]
    assert all(finding["found"] or finding["remedy"] for finding in findings.values()), "what is missing says a remedy"
    shown = text("doctor")
    assert "mlflow" in shown and "yes" in shown
    assert all(line == line.rstrip() for line in shown.splitlines()), "a pipe gets no blanks at the ends of lines"
    assert not toolkit_home.exists(), "it only looks"


SLOW_SYSCONFIG = """
import sysconfig, time
fill = sysconfig._init_posix
def slowly(variables):
    time.sleep(0.3)
    fill(variables)
sysconfig._init_posix = slowly
from toolkit import doctor
from toolkit.environments import uv
def look():
    uv.executable.__wrapped__()
    return []
doctor.machine.examine, doctor.engines.LOOKS, doctor.network.LOOKS = look, (look, look), (look,)
print(doctor.examine())
"""


def test_what_the_doctor_looks_at_finds_no_half_filled_in_sysconfig() -> None:
    done = subprocess.run([sys.executable, "-c", SLOW_SYSCONFIG], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_the_doctor_looks_at_the_targets_of_the_workspace(workspace: Workspace) -> None:
    targets = ["local: {type: local}", "gpu: {type: local, gpus: 64}", "lost: {type: docker, engine: 'unix:///no'}"]
    workspace.paths.configuration.write_text(f"compute_targets: {{{', '.join(targets)}}}")
    findings = {finding["what"]: finding for finding in facts("doctor", "-w", "test")}
    assert findings["target local"]["found"]
    assert not findings["target gpu"]["found"] and "needs a GPU" in findings["target gpu"]["remedy"]
    assert not findings["target lost"]["found"] and "unix:///no" in findings["target lost"]["remedy"]


def test_help_and_wrong_calls() -> None:
    for command in ("init", "runs", "show", "logs", "cancel", "ui", "stop", "import", "doctor"):
        assert command in text("--help") and "--json" in text(command, "--help")
    for words in ([], ["no-such-command"], ["runs", "--no-such-option"]):
        answer = call(*words)
        assert answer.returncode == 2 and "usage: toolkit" in answer.stderr


def test_it_loads_nothing_heavy() -> None:
    code = "import sys; from toolkit.cli import main; main(['init', 'quick']); print(*sys.modules, file=sys.stderr)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in answer.stderr.split()}
    assert not loaded & {"mlflow", "torch", "rattler", "numpy", "rich"}


def test_the_installed_command() -> None:
    command = Path(sys.executable).parent / "toolkit"
    answer = subprocess.run([command, "runs", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == []
