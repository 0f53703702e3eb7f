"""Experiments: names, numbers, the runs in them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Submit, wait_until
from toolkit import Experiment, Run, UserErrorException, Workspace


@pytest.mark.parametrize("name", ["a", "9", "day1-experiment-train", "A_b-C", "a" * 255])
def test_names_that_v1_takes(name: str, workspace: Workspace) -> None:
    assert Experiment(workspace, name).name == name


@pytest.mark.parametrize("name", ["", "-a", "_a", "a b", "a/b", "a.b", "ü", "aü", "a\n", "a" * 256, None, 3])
def test_names_that_v1_refuses(name: str, workspace: Workspace) -> None:
    with pytest.raises(UserErrorException) as caught:
        Experiment(workspace, name)
    assert str(caught.value) == (
        f"'{name}' cannot be the name of an experiment: it must be 1 to 255 characters, start with a letter or a "
        "number, and hold nothing but letters, numbers, hyphens and underscores, no whitespace"
    )
    assert workspace.experiments == {}


def test_a_workspace_is_needed() -> None:
    with pytest.raises(UserErrorException, match="takes a Workspace first, not the str 'my-workspace'"):
        Experiment("my-workspace", "day1")  # type: ignore[arg-type]


def test_it_comes_into_being_with_its_first_run(workspace: Workspace) -> None:
    experiment = Experiment(workspace, "day1")
    assert workspace.experiments == {} and [*experiment.get_runs()] == []
    assert repr(experiment) == "Experiment(workspace='test', name='day1')"


def test_numbers_count_in_each_experiment(workspace: Workspace) -> None:
    one, two = Experiment(workspace, "one"), Experiment(workspace, "two")
    assert [one.add_run("a"), one.add_run("b"), two.add_run("c"), one.add_run("d")] == [1, 2, 1, 3]
    assert one.run_ids() == ["a", "b", "d"]


def test_several_processes_get_numbers_of_their_own(workspace: Workspace) -> None:
    code = (
        "import sys; from toolkit import Experiment, Workspace; e = Experiment(Workspace.get('test'), 'together')\n"
        "print(*(e.add_run(f'{sys.argv[1]}{n}') for n in range(50)))"
    )
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in "abc"]
    numbers = [int(number) for process in processes for number in process.communicate()[0].split()]
    assert sorted(numbers) == list(range(1, 151))
    assert len({*Experiment(workspace, "together").run_ids()}) == 150


def test_runs_are_listed_the_newest_first_and_by_tag(submit: Submit, workspace: Workspace) -> None:
    from toolkit import ScriptRunConfig

    first = submit("print(1)", experiment="listed")
    config = ScriptRunConfig(first._definition()["source_directory"], script="train.py")
    experiment = Experiment(workspace, "listed")
    tagged = experiment.submit(config, tags={"kind": "best", "n": 2})  # type: ignore[dict-item]
    other = submit("print(1)", experiment="other")
    for run in (first, tagged, other):
        run.wait_for_completion()
    assert [run.id for run in experiment.get_runs()] == [tagged.id, first.id]
    assert (first.number, tagged.number, other.number) == (1, 2, 1)
    for tags, found in (("kind", [tagged]), ({"kind": "best"}, [tagged]), ({"n": "2"}, [tagged]), ({"n": "3"}, [])):
        assert [run.id for run in experiment.get_runs(tags=tags)] == [run.id for run in found]
    first.add_properties({"stage": "draft"})
    assert [run.id for run in experiment.get_runs(properties={"stage": "draft"})] == [first.id]
    assert [*experiment.get_runs(properties={"stage": "final"})] == []
    assert [*experiment.get_runs(type="azureml.PipelineRun")] == []
    first.tag("kind", "late")
    assert [run.id for run in experiment.get_runs(tags="kind")] == [tagged.id, first.id]
    assert {*workspace.experiments} == {"listed", "other"}
    assert [found.name for found in Experiment.list(workspace, "other")] == ["other"]
    assert workspace.get_run(tagged.id).experiment.name == "listed"


def logged(workspace: Workspace, name: str) -> Experiment:
    """An experiment that has a run, which has ended."""
    experiment = Experiment(workspace, name)
    with experiment.start_logging(snapshot_directory=None) as run:
        run.log("loss", 1)
    wait_until(lambda: not (workspace.paths.untracked / run.id).exists())
    return experiment


def test_an_archived_experiment_is_not_listed_and_takes_no_runs(workspace: Workspace) -> None:
    experiment = logged(workspace, "old")
    experiment.archive()
    assert experiment.archived_time is not None
    assert Experiment.list(workspace) == [] and "old" not in workspace.experiments
    assert [found.name for found in Experiment.list(workspace, view_type="ArchivedOnly")] == ["old"]
    assert [found.name for found in Experiment.list(workspace, view_type="All")] == ["old"]
    with pytest.raises(UserErrorException, match="'old' is archived and takes no runs"):
        experiment.start_logging(snapshot_directory=None)
    with pytest.raises(UserErrorException, match="keeps its name"):
        experiment.reactivate(new_name="new")
    experiment.reactivate()
    assert [found.name for found in Experiment.list(workspace)] == ["old"]
    with pytest.raises(UserErrorException, match="ActiveOnly, ArchivedOnly, All"):
        Experiment.list(workspace, view_type="Some")


def test_tags_of_an_experiment(workspace: Workspace) -> None:
    experiment = logged(workspace, "tagged")
    experiment.set_tags({"team": "blue", "year": 2026})
    experiment.tag("kept")
    experiment.remove_tags(["year"])
    assert Experiment(workspace, "tagged").tags == {"team": "blue", "kept": ""}
    assert [found.name for found in Experiment.list(workspace, tags={"team": "blue"})] == ["tagged"]
    assert Experiment.list(workspace, tags={"team": "red"}) == []


def test_a_deleted_experiment_comes_back_with_its_next_run(workspace: Workspace) -> None:
    from mlflow import MlflowClient

    experiment = logged(workspace, "gone")
    (run,) = experiment.get_runs()
    going = experiment.start_logging(snapshot_directory=None)
    with pytest.raises(UserErrorException, match="has runs that go on"):
        Experiment.delete(workspace, experiment.id)
    going.complete()
    wait_until(lambda: not (workspace.paths.active / going.id).exists())
    Experiment.delete(workspace, experiment.id)
    assert Experiment.list(workspace, view_type="All") == []
    client = MlflowClient(workspace.get_mlflow_tracking_uri())
    assert client.get_experiment_by_name("gone").lifecycle_stage == "deleted"
    with pytest.raises(UserErrorException, match="there is no experiment 'gone'; the workspace has: none"):
        Experiment.delete(workspace, "gone")
    logged(workspace, "gone")
    assert {found.id for found in Experiment(workspace, "gone").get_runs()} >= {run.id, going.id}
    assert [found.name for found in Experiment.list(workspace)] == ["gone"]
    assert client.get_experiment_by_name("gone").lifecycle_stage == "active"


def test_runs_of_a_status(workspace: Workspace) -> None:
    experiment = logged(workspace, "many")
    with pytest.raises(ValueError), experiment.start_logging(snapshot_directory=None) as failed:
        raise ValueError
    assert [run.id for run in experiment.get_runs(status="Failed")] == [failed.id]
    assert [run.id for run in Run.list(experiment, status="Failed")] == [failed.id]
    assert len([*experiment.get_runs()]) == 2


def test_a_name_of_255_characters(workspace: Workspace, submit: Submit) -> None:
    name = "x" * 255
    run = submit("print(1)", experiment=name)
    with Experiment(workspace, name).start_logging(snapshot_directory=None) as logged, logged.child_run("c") as child:
        child.child_run("grandchild").complete()
    assert run.wait_for_completion()["status"] == "Completed"
    assert {one.id for one in Experiment(workspace, name).get_runs()} == {run.id, logged.id}


def test_runs_that_were_made_with_mlflow_itself(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    experiment = Experiment(workspace, "lab")
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", None)  # given back afterwards
    mlflow.set_tracking_uri(workspace.get_mlflow_tracking_uri())
    mlflow.set_experiment(experiment.name)
    with mlflow.start_run(run_name="by hand") as made:
        for step in range(3):
            mlflow.log_metric("loss", 1 / (step + 1))
        mlflow.log_param("lr", 0.1)
        mlflow.set_tag("team", "blue")
        mlflow.log_text("weights", "model/net.txt")
    with pytest.raises(ValueError), mlflow.start_run():
        raise ValueError
    assert [run.status for run in experiment.get_runs()] == ["Failed", "Completed"]
    newest, failed, first = logged(workspace, "lab").get_runs()
    assert (first.display_name, first.tags, first.number) == ("by hand", {"team": "blue"}, 1)
    assert first.get_metrics() == {"loss": [1.0, 0.5, 1 / 3]}
    assert first.get_details()["runDefinition"]["arguments"] == ["--lr", "0.1"]
    assert made.info.run_id in first.get_portal_url()
    first.download_file("model/net.txt", "copy.txt")
    assert Path("copy.txt").read_text() == "weights"
    assert [run.id for run in Experiment(workspace, "lab").get_runs()] == [newest.id, failed.id, first.id]
    with mlflow.start_run():
        assert len([*experiment.get_runs()]) == 3, "one that goes on is MLflow's"


def test_two_that_take_up_the_same_runs_of_mlflow(workspace: Workspace) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(logged(workspace, "lab").workspace.get_mlflow_tracking_uri())
    found = client.get_experiment_by_name("lab")
    for _ in range(5):
        client.set_terminated(client.create_run(found.experiment_id).info.run_id)
    program = """
import mlflow
from toolkit import Experiment, Workspace
print(len([*Experiment(Workspace.get("test"), "lab").get_runs()]))
"""
    both = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [one.communicate()[0].strip() for one in both] == ["6", "6"]
    assert len({run.number for run in Experiment(workspace, "lab").get_runs()}) == 6
