"""MLflow knows whose child a run is, so that its pages show them together."""

from __future__ import annotations

from tests.agent.test_tracking import known, whole
from tests.conftest import Submit
from toolkit import Workspace
from toolkit.inscript.files import read_json
from toolkit.inscript.logged_run import logged_children


def test_children_name_their_parents_in_mlflow(submit: Submit, workspace: Workspace) -> None:
    run = submit(
        """
        from toolkit import Run
        run = Run.get_context()
        child = run.child_run("fold")
        grandchild = child.child_run("step")
        grandchild.log("loss", 0.5)
        grandchild.complete()
        child.complete()
        """
    )
    run.wait_for_completion()
    parent = whole(run)
    (child_id,) = logged_children(run.directory)
    child = workspace.get_run(child_id)
    (grandchild_id,) = logged_children(child.directory)
    grandchild = workspace.get_run(grandchild_id)
    assert "mlflow.parentRunId" not in parent.data.tags
    assert whole(child).data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert whole(grandchild).data.tags["mlflow.parentRunId"] == known(child).info.run_id
    assert whole(grandchild).data.metrics == {"loss": 0.5}


def test_parent_is_made_in_mlflow_before_its_child(submit: Submit, workspace: Workspace) -> None:
    """The child's mark alone is enough: whichever run the tracker comes to first."""
    from mlflow import MlflowClient

    from toolkit.agent.models import client_of
    from toolkit.agent.tracking import Tracker
    from toolkit.inscript.files import write_json

    paths = workspace.paths
    client: MlflowClient = client_of(paths)
    for run_id, parent in (("b_parent", None), ("a_child", "b_parent")):
        directory = paths.run(run_id)
        paths.runs.mkdir(exist_ok=True)
        (paths.runs / run_id).mkdir()
        write_json(directory.definition, {"id": run_id, "experiment": "tests", "submitted": 1.0, "parent": parent})
    for folder in (paths.agent, paths.untracked):
        folder.mkdir(parents=True, exist_ok=True)
    (paths.untracked / "a_child").touch()
    tracker = Tracker(paths)
    tracker._client, tracker._uri = client, workspace.get_mlflow_tracking_uri()
    tracker._round()
    parent_id = read_json(paths.run("b_parent").tracking)["mlflow_run_id"]
    child_id = read_json(paths.run("a_child").tracking)["mlflow_run_id"]
    assert client.get_run(child_id).data.tags["mlflow.parentRunId"] == parent_id
