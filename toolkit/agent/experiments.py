"""Experiments in MLflow, as far as a control script changes them by hand."""

from __future__ import annotations

from toolkit.agent import server, store
from toolkit.agent.models import client_of, mlflow_errors
from toolkit.paths import WorkspacePaths


def delete(paths: WorkspacePaths, name: str) -> None:
    """Mark an experiment deleted in MLflow, which can restore it; one that MLflow does not have is no matter.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    if server.tracking_uri(paths) == store.uri(paths) and not store.is_made(paths):
        return
    client = client_of(paths)
    with mlflow_errors(f"delete the experiment '{name}'"):
        found = client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage != "deleted":
            client.delete_experiment(found.experiment_id)
