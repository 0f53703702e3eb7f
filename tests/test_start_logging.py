"""Runs that a process logs itself: `start_logging`, their ends, however they come, and their children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import wait_until
from toolkit import Experiment, Run, UserErrorException, Workspace
from toolkit.agent import wake
from toolkit.inscript.files import read_json
from toolkit.paths import WorkspacePaths
from toolkit.status import read_events


@pytest.fixture
def experiment(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "notes.py").write_text("print('here')\n")
    monkeypatch.chdir(folder)
    return Experiment(workspace, "logged")


def settled(run: Run) -> bool:
    """Whether the agent has taken the run to its end, MLflow included."""
    paths = run.experiment.workspace.paths
    return not (paths.active / run.id).exists() and not (paths.untracked / run.id).exists()


def test_a_run_is_running_at_once_and_completed_when_it_says_so(experiment: Experiment) -> None:
    run = experiment.start_logging(display_name="first", tags={"kind": "demo"})
    assert (run.status, run.type, run.number, run.display_name) == ("Running", None, 1, "first")
    run.log("loss", 0.5)
    run.tag("later", 1)
    run.complete()
    assert run.get_status() == "Completed"
    details = run.get_details()
    assert details["target"] == "sdk" and details["endTimeUtc"] >= details["startTimeUtc"]
    assert (run.get_metrics(), run.get_tags()) == ({"loss": 0.5}, {"kind": "demo", "later": "1"})
    wait_until(lambda: settled(run))
    assert [event.status for event in read_events(run.directory)] == [
        "NotStarted", "Running", "Finalizing", "Completed",
    ]  # fmt: skip
    assert run.wait_for_completion()["status"] == "Completed"


def test_mlflow_has_it_with_its_name_and_description(experiment: Experiment, workspace: Workspace) -> None:
    from mlflow import MlflowClient

    with experiment.start_logging() as run:
        run.log("loss", 0.25)
        run.display_name = "a better name"
        run.description = "what it is for"
        child = run.child_run("fold 1")
        child.log("loss", 0.5)
        child.complete()
    wait_until(lambda: settled(run) and settled(child))
    client = MlflowClient(workspace.get_mlflow_tracking_uri())
    found = client.get_run(read_json(run.directory.tracking)["mlflow_run_id"])
    assert (found.info.run_name, found.info.status) == ("a better name", "FINISHED")
    assert found.data.tags["mlflow.note.content"] == "what it is for" and found.data.metrics == {"loss": 0.25}
    nested = client.get_run(read_json(child.directory.tracking)["mlflow_run_id"])
    assert (nested.info.run_name, nested.data.metrics) == ("fold 1", {"loss": 0.5})
    assert nested.data.tags["mlflow.parentRunId"] == found.info.run_id
    assert (run.display_name, run.name, run.description) == ("a better name", "a better name", "what it is for")


def test_a_block_that_raises_fails_the_run(experiment: Experiment) -> None:
    with pytest.raises(ZeroDivisionError), experiment.start_logging() as run:
        run.log("x", 1 / 0)
    assert run.get_status() == "Failed"
    assert run.get_details()["error"]["error"] == {
        "code": "ZeroDivisionError", "message": "ZeroDivisionError: division by zero",
    }  # fmt: skip
    wait_until(lambda: settled(run))
    assert run.get_details()["error"]["error"]["code"] == "ZeroDivisionError"


@pytest.mark.parametrize(("leaves", "status"), [("sys.exit(0)", "Completed"), ("sys.exit(3)", "Failed")])
def test_a_block_that_leaves_by_sys_exit(experiment: Experiment, leaves: str, status: str) -> None:
    with pytest.raises(SystemExit), experiment.start_logging(snapshot_directory=None) as run:
        exec(f"import sys; {leaves}")
    assert run.get_status() == status


def test_the_first_end_counts(experiment: Experiment) -> None:
    run = experiment.start_logging(snapshot_directory=None)
    run.fail("it diverged", "Diverged")
    run.complete()
    assert run.get_status() == "Failed"
    wait_until(lambda: settled(run))
    assert run.get_details()["error"]["error"] == {"code": "Diverged", "message": "it diverged"}


def test_cancel(experiment: Experiment) -> None:
    run = experiment.start_logging(snapshot_directory=None)
    child = run.child_run()
    Run.get(experiment.workspace, run.id).cancel()
    assert run.get_status() == "Canceled"
    wait_until(lambda: settled(run) and settled(child))
    assert child.get_status() == "Canceled"


SCRIPT = """
import os, sys
from toolkit import Experiment, Workspace
run = Experiment(Workspace.get("test"), "logged").start_logging("made", snapshot_directory=None)
os.makedirs("made")
open("made/model.bin", "w").close()
child = run.child_run()
run.log("loss", 0.5)
print(run.id, flush=True)
{ends}
"""


@pytest.mark.parametrize(
    ("ends", "status"),
    [("", "Completed"), ("os.kill(os.getpid(), 9)", "Failed"), ("raise ValueError('no')", "Failed")],
)
def test_a_process_that_ends_ends_its_runs(experiment: Experiment, ends: str, status: str) -> None:
    command = [sys.executable, "-c", SCRIPT.format(ends=ends)]
    out = subprocess.run(command, capture_output=True, text=True)
    run = Run.get(experiment.workspace, out.stdout.strip())
    wait_until(lambda: run.get_status() == status)
    (child,) = run.get_children()
    wait_until(lambda: child.get_status() == status, 20)
    assert run.get_metrics() == {"loss": 0.5}
    assert run.get_file_names() == ([] if "kill" in ends else ["outputs/model.bin"])
    if "kill" in ends:
        assert "before run.complete()" in run.get_details()["error"]["error"]["message"]
    elif ends:
        assert run.get_details()["error"]["error"]["message"] == "ValueError: no"
    wait_until(lambda: settled(run) and settled(child))


def test_the_agent_is_killed_in_the_middle(experiment: Experiment) -> None:
    run = experiment.start_logging(snapshot_directory=None)
    paths = experiment.workspace.paths
    wait_until(lambda: wake.is_running(paths))
    agents = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if process.info["cmdline"] and process.info["cmdline"][-2:] == ["toolkit.agent", str(paths.root)]
    ]
    for pid in agents:
        os.kill(pid, signal.SIGKILL)
    assert agents
    run.log("loss", 1.0)
    run.complete()
    wait_until(lambda: run.get_status() == "Completed" and settled(run))


def test_outputs_and_uploads_are_its_files(experiment: Experiment, tmp_path: Path) -> None:
    run = experiment.start_logging(outputs="made")
    os.makedirs("made/deep")
    Path("made/deep/model.bin").write_bytes(b"weights")
    Path("plot.txt").write_text("plot")
    run.upload_file("plots/one.txt", "plot.txt")
    run.complete()
    assert run.get_file_names() == ["outputs/deep/model.bin", "plots/one.txt"]
    run.download_file("outputs/deep/model.bin", str(tmp_path / "copy.bin"))
    assert (tmp_path / "copy.bin").read_bytes() == b"weights"


def test_its_sources_are_kept_and_restored(experiment: Experiment, tmp_path: Path) -> None:
    with experiment.start_logging() as run:
        pass
    restored = run.restore_snapshot(path=str(tmp_path / "again"))
    assert Path(restored, "notes.py").read_text() == "print('here')\n"
    with pytest.raises(UserErrorException, match="empty or new"):
        run.restore_snapshot(path=restored)
    other = run.take_snapshot(restored)
    assert other == run.get_snapshot_id()


def test_a_folder_too_large_is_said_and_the_run_goes_on(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    configuration = experiment.workspace.paths.configuration
    configuration.write_text(configuration.read_text().replace("snapshot_limit_mb: 300", "snapshot_limit_mb: 0.01"))
    Path("large.bin").write_bytes(b"0" * 20_000)
    with experiment.start_logging() as run:
        run.log("loss", 1)
    said = capsys.readouterr().err
    assert "large.bin" in said and "snapshot_directory=None" in said
    assert (run.get_status(), run.get_snapshot_id()) == ("Completed", None)
    with pytest.raises(UserErrorException, match="has no snapshot"):
        run.restore_snapshot()


def test_children_of_all_kinds(experiment: Experiment) -> None:
    with experiment.start_logging(snapshot_directory=None) as run:
        tagged = run.create_children(tag_key="fold", tag_values=[1, 2, 3])
        for number, child in enumerate(tagged):
            child.log("acc", number / 10)
            child.complete()
        (counted,) = run.create_children(count=1)
        counted.fail("no")
        grandchild = tagged[0].child_run("deep")
        grandchild.log("acc", 9)
        grandchild.complete()
    for child in tagged:
        assert child.id.startswith(run.id) and child.parent is not None and child.parent.id == run.id
    assert [child.id for child in run.get_children()] == [counted.id, *(child.id for child in reversed(tagged))]
    assert {child.id for child in run.get_children(recursive=True)} == {
        *(child.id for child in tagged), counted.id, grandchild.id,
    }  # fmt: skip
    assert [child.id for child in run.get_children(tags={"fold": "2"})] == [tagged[1].id]
    assert len([*run.get_children(tags="fold")]) == 3
    assert [child.id for child in run.get_children(status="Failed")] == [counted.id]
    assert [*run.get_children(type="hyperdrive")] == []
    assert run.get_metrics(recursive=True) == {
        run.id: {}, counted.id: {}, grandchild.id: {"acc": 9},
        tagged[0].id: {"acc": 0.0}, tagged[1].id: {"acc": 0.1}, tagged[2].id: {"acc": 0.2},
    }  # fmt: skip
    assert [found.id for found in experiment.get_runs()] == [run.id]
    assert {found.id for found in experiment.get_runs(include_children=True)} == {
        run.id, counted.id, grandchild.id, *(child.id for child in tagged),
    }  # fmt: skip
    assert Run.get(experiment.workspace, grandchild.id).parent.id == tagged[0].id  # type: ignore[union-attr]
    assert sorted(child.number for child in run.get_children(recursive=True)) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("arguments", [{}, {"count": 1, "tag_key": "a", "tag_values": [1]}, {"tag_key": "a"}])
def test_children_that_cannot_be(experiment: Experiment, arguments: dict[str, object]) -> None:
    with (
        experiment.start_logging(snapshot_directory=None) as run,
        pytest.raises(UserErrorException, match="takes a count"),
    ):
        run.create_children(**arguments)  # type: ignore[arg-type]


def test_a_child_of_a_run_that_has_ended(experiment: Experiment) -> None:
    with experiment.start_logging(snapshot_directory=None) as run:
        pass
    wait_until(lambda: settled(run))
    child = run.child_run("evaluation")
    child.log("accuracy", 0.9)
    child.complete()
    wait_until(lambda: settled(child))
    assert child.get_status() == "Completed" and [found.id for found in run.get_children()] == [child.id]


def test_properties_never_change(experiment: Experiment) -> None:
    with experiment.start_logging(snapshot_directory=None) as run:
        run.add_properties({"author": "me", "version": 1})
        run.add_properties({"author": "me"})
        with pytest.raises(UserErrorException, match=r"'author' of the run .* is 'me' and cannot become 'you'"):
            run.add_properties({"other": "x", "author": "you"})
        assert run.get_properties() == {"author": "me", "version": "1"}


def test_tags_of_the_start_may_be_removed(experiment: Experiment) -> None:
    with experiment.start_logging(snapshot_directory=None, tags={"a": 1, "b": 2}) as run:
        run.remove_tags(["a"])
        assert run.tags == {"b": "2"}


def test_a_fork_does_not_end_the_run(experiment: Experiment) -> None:
    script = """
import os, sys
from toolkit import Experiment, Workspace
run = Experiment(Workspace.get("test"), "logged").start_logging(snapshot_directory=None)
if os.fork() == 0:
    sys.exit(0)
os.wait()
print(run.get_status())
"""
    out = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "Running"
    (run,) = experiment.get_runs()
    wait_until(lambda: run.get_status() == "Completed" and settled(run))


def test_logging_at_once_starts_one_agent(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    start = wake.start

    def count(paths: WorkspacePaths) -> None:
        started.append(paths)
        start(paths)

    monkeypatch.setattr(wake, "start", count)
    run = experiment.start_logging(snapshot_directory=None)
    for value in range(300):
        run.log("loss", value)
    assert len(started) <= 1, "the first log comes before the agent that was started reads its pipe"
    run.complete()
    wait_until(lambda: settled(run))


def test_the_commit_of_its_sources_is_known(experiment: Experiment, workspace: Workspace) -> None:
    from mlflow import MlflowClient

    who = ("-c", "user.name=me", "-c", "user.email=me@example.com")
    for arguments in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "first")):
        subprocess.run(["git", *arguments], check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    Path("notes.py").write_text("print('changed')\n")
    with experiment.start_logging() as run:
        pass
    wait_until(lambda: settled(run))
    assert run.properties["azureml.git.commit"] == commit and run.properties["azureml.git.dirty"] == "True"
    assert "+print('changed')" in Path(run.directory.git_diff).read_text()
    found = MlflowClient(workspace.get_mlflow_tracking_uri()).get_run(
        read_json(run.directory.tracking)["mlflow_run_id"]
    )
    assert found.data.tags["mlflow.source.git.commit"] == commit


def test_a_workspace_that_is_made_anew_counts_anew(experiment: Experiment) -> None:
    for _ in range(2):
        with experiment.start_logging(snapshot_directory=None) as run:
            pass
        wait_until(lambda run=run: settled(run))  # type: ignore[misc]
    assert run.number == 2
    wake.stop(experiment.workspace.paths)
    experiment.workspace.delete()
    Workspace.create("test")
    another = """
from toolkit import Experiment, Workspace
for _ in range(3):
    with Experiment(Workspace.get("test"), "logged").start_logging(snapshot_directory=None) as run:
        print(run.id)
"""
    out = subprocess.run([sys.executable, "-c", another], capture_output=True, text=True, check=True)
    again = Experiment(Workspace.get("test"), experiment.name)
    runs = [Run.get(again.workspace, run_id) for run_id in out.stdout.split()]
    assert [run.number for run in runs] == [1, 2, 3] and len(again.run_ids()) == 3
    wait_until(lambda: all(settled(run) for run in runs))
