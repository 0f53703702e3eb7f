"""URLs that open a run or an experiment in the MLflow UI."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from toolkit import configuration
from toolkit.agent import server
from toolkit.agent.wake import wake
from toolkit.errors import TrackingError
from toolkit.inscript.files import read_json
from toolkit.paths import WorkspacePaths

if TYPE_CHECKING:
    from toolkit.experiment import Experiment
    from toolkit.run import Run

KNOWN_SECONDS = 60.0
VIEW = "?workflowType=machine_learning"  # the UI opens on its GenAI side otherwise


def base_url(paths: WorkspacePaths, wait: bool = True, waiting: Callable[[], None] | None = None) -> str:
    """The URL of the MLflow UI: the team's server, or the workspace's own, which is started if it does not run."""
    uri = configuration.load(paths.configuration).tracking_uri
    if uri.startswith(("http://", "https://")):
        return uri.rstrip("/")
    return server.ensure(paths, wait=wait, waiting=waiting)


def run_url(run: Run, wait: bool = True) -> str:
    """The URL of a run. With `wait`, it is returned when it answers.

    Raises:
        TrackingError: MLflow does not take the run, or the server does not start.
    """
    paths = run.experiment.workspace.paths
    url = base_url(paths, wait=False)  # it starts while MLflow gets to know the run
    known = _known(run, paths)
    if wait:
        base_url(paths, wait=True)
    return f"{url}/#/experiments/{known['experiment_id']}/runs/{known['mlflow_run_id']}{VIEW}"


def experiment_url(experiment: Experiment) -> str:
    paths = experiment.workspace.paths
    for run in experiment.get_runs():
        known = _known(run, paths)
        return f"{base_url(paths)}/#/experiments/{known['experiment_id']}{VIEW}"
    return f"{base_url(paths)}/#/experiments{VIEW}"


def _known(run: Run, paths: WorkspacePaths) -> dict[str, str]:
    """The ids that MLflow gave the run, as soon as it has."""
    deadline = time.monotonic() + KNOWN_SECONDS
    while True:
        known: dict[str, str] = read_json(run.directory.tracking, {})
        if known.get("mlflow_run_id"):
            return known
        trouble = read_json(str(paths.agent / "tracker.json"), {}).get("unreachable")
        if trouble or time.monotonic() > deadline:
            reason = trouble or f"it did not answer within {KNOWN_SECONDS:.0f} s"
            raise TrackingError(
                f"MLflow does not have the run {run.id} yet: {reason}. The run itself goes on, and everything arrives "
                f"when {server.tracking_uri(paths)} is back"
            )
        wake(paths)
        time.sleep(0.05)
