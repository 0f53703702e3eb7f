"""Runs that somebody made with MLflow itself in an experiment of a workspace, taken up as runs of ours.

A process that called `mlflow.start_run()` expects `experiment.get_runs()` to have the run. Those that have ended get a
run directory, made beside and renamed into place, and the tag that says which it is.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from toolkit import experiment_index, status
from toolkit.agent.mlflow_calls import MlflowCalls
from toolkit.agent.models import client_of, mlflow_errors
from toolkit.agent.tracked_run import MLFLOW_STATUS, RUN_ID_TAG
from toolkit.errors import storage_errors
from toolkit.inscript.files import write_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import WorkspacePaths
from toolkit.status import Event, append_event

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

PAGE = 100
_STATUS = {MLFLOW_STATUS[final]: final for final in (status.COMPLETED, status.FAILED, status.CANCELED)}


def adopt(paths: WorkspacePaths, experiment: str) -> None:
    """Take up the ended MLflow runs of an experiment that are not ours yet, the oldest first.

    Raises:
        TrackingError: MLflow cannot be reached.
        StorageError: the disk is full or read-only.
    """
    client = client_of(paths)
    with mlflow_errors(f"list the runs of the experiment '{experiment}'"):
        found = client.get_experiment_by_name(experiment)
        if found is None:
            return
        for run in reversed(_strangers(client, found.experiment_id)):
            _adopt(paths, client, experiment, run)


def _strangers(client: MlflowClient, experiment_id: str) -> list[MlflowRun]:
    """Ended runs that are not ours, the newest first: looked for page by page, until a page has none."""
    strangers: list[MlflowRun] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], max_results=PAGE, order_by=["attributes.start_time DESC"], page_token=token
        )
        more = [run for run in page if RUN_ID_TAG not in run.data.tags and run.info.status in _STATUS]
        strangers += more
        token = page.token
        if not more or not token:
            return strangers


def _adopt(paths: WorkspacePaths, client: MlflowClient, experiment: str, run: MlflowRun) -> None:
    run_id = f"{experiment[:170]}_{run.info.start_time // 1000}_{run.info.run_id[:8]}"
    place = paths.run(run_id).root
    if not os.path.exists(place):
        staging = RunDirectory(str(paths.runs / f".{run_id}.{os.getpid()}"))
        with storage_errors(f"cannot take up the MLflow run {run.info.run_id}", paths.runs):
            shutil.rmtree(staging.root, ignore_errors=True)
            _write(paths, client, experiment, run, run_id, staging)
            try:
                os.rename(staging.root, place)
            except OSError:
                shutil.rmtree(staging.root, ignore_errors=True)
                if not os.path.exists(place):  # another process was first, else
                    raise
    experiment_index.add(paths, experiment, run_id)
    client.set_tag(run.info.run_id, RUN_ID_TAG, run_id)  # last: until then it is taken up again


def _write(
    paths: WorkspacePaths, client: MlflowClient, experiment: str, run: MlflowRun, run_id: str, staging: RunDirectory
) -> None:
    info, began, ended = run.info, run.info.start_time / 1000, (run.info.end_time or run.info.start_time) / 1000
    os.makedirs(staging.logs, mode=0o700)
    tags = {key: value for key, value in run.data.tags.items() if not key.startswith(("mlflow.", "toolkit."))}
    definition: dict[str, Any] = {
        "id": run_id,
        "experiment": experiment,
        "workspace": paths.root.name,
        "target": "mlflow",
        "logged": True,
        "submitted": began,
        "display_name": info.run_name,
        "description": run.data.tags.get("mlflow.note.content"),
        "environment": {"name": "", "user_managed": True},
        "arguments": [part for key, value in run.data.params.items() for part in (f"--{key}", value)],
        "tags": tags,
        "properties": {"mlflow.run_id": info.run_id},
        "user": run.data.tags.get("mlflow.user", ""),
    }
    outcome = _STATUS[info.status]
    write_json(staging.definition, definition)
    write_json(staging.script, {"time": began})
    write_json(staging.exit, {"reason": "exited", "code": 0 if outcome == status.COMPLETED else None, "time": ended})
    for event in (Event(status.NOT_STARTED, began), Event(status.RUNNING, began), _end(outcome, ended)):
        append_event(staging, event)
    MlflowCalls(staging, client).copy(info.run_id, (), final=True)
    for artifact in client.list_artifacts(info.run_id):
        os.makedirs(staging.artifacts, exist_ok=True)
        client.download_artifacts(info.run_id, artifact.path, staging.artifacts)
    known = {"mlflow_run_id": info.run_id, "experiment_id": info.experiment_id}
    write_json(staging.tracking, {**known, "creating": False, "status": outcome, "done": True})


def _end(outcome: str, ended: float) -> Event:
    if outcome == status.FAILED:
        return Event(outcome, ended, error={"code": "UserError", "message": "MLflow says that the run failed"})
    return Event(outcome, ended)
