"""Experiments in MLflow, as far as a control script changes them by hand."""

from __future__ import annotations

import os

from toolkit.agent import server, store
from toolkit.errors import TrackingError
from toolkit.paths import WorkspacePaths


def delete(paths: WorkspacePaths, name: str) -> None:
    """Mark an experiment deleted in MLflow, which can restore it; one that MLflow does not have is no matter.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    uri = server.tracking_uri(paths)
    if uri == store.uri(paths) and not store.is_made(paths):
        return
    for variable, value in server.mlflow_environment().items():
        os.environ.setdefault(variable, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=uri)
    try:
        found = client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage != "deleted":
            client.delete_experiment(found.experiment_id)
    except MlflowException as error:
        raise TrackingError(f"MLflow did not delete the experiment '{name}': {error}") from error
