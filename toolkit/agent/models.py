"""MLflow's model registry: a folder of a run's artifacts becomes a version of a registered model."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolkit.agent import server
from toolkit.agent.artifacts import artifact_name
from toolkit.agent.wake import wake
from toolkit.errors import TrackingError, UserErrorException
from toolkit.inscript.files import read_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import WorkspacePaths

if TYPE_CHECKING:
    from mlflow import MlflowClient

TRAINED_MODEL = "outputs/trained_model_outputs"  # where Train PyTorch Model leaves what is to be registered
WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class ModelVersion:
    """A version of a registered model.

    Attributes:
        name: the model's name.
        version: counted from 1.
        uri: what MLflow loads it by, as in "models:/flowers/1".
    """

    name: str
    version: int
    uri: str


def find_artifact(files: list[str], model_name: str, model_path: str | None) -> str:
    """The file or folder that is registered: by default the one called like the model, else a trained network.

    Raises:
        UserErrorException: the run has no such artifact; the message says which it has.
    """
    candidates = [model_name, TRAINED_MODEL] if model_path is None else [model_path]
    for candidate in candidates:
        path = candidate.strip("/")
        if any(name == path or name.startswith(f"{path}/") for name in files):
            return path
    shown = ", ".join(files[:20]) + (f" and {len(files) - 20} more" if len(files) > 20 else "")
    raise UserErrorException(
        f"Could not locate the provided model_path {' or '.join(candidates)} in the set of files uploaded to the run: "
        f"{shown or 'none'}"
    )


def wait_until_tracked(
    paths: WorkspacePaths, directory: RunDirectory, path: str, files: list[str], ended: Callable[[], bool]
) -> str:
    """Wait until MLflow has the files of an artifact. Returns the id of the MLflow run.

    Raises:
        UserErrorException: the run goes on, and the artifact is not sent before its end.
        TrackingError: MLflow cannot be reached, or is not done within a minute.
    """
    wanted = [name for name in files if name == path or name.startswith(f"{path}/")]
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        over = ended()  # asked for first: what was there at the end is in the state that is read after it
        state = read_json(directory.tracking, {})
        sent = state.get("artifacts", {})
        if state.get("mlflow_run_id") and (state.get("done") or not over) and all(name in sent for name in wanted):
            return str(state["mlflow_run_id"])
        if not over and path.partition("/")[0] == "outputs":
            raise UserErrorException(
                f"the run {directory.id} goes on, and its outputs are complete when it has ended: call "
                "run.wait_for_completion() before run.register_model(...)"
            )
        trouble = read_json(str(paths.agent / "tracker.json"), {}).get("unreachable")
        if trouble or time.monotonic() > deadline:
            reason = trouble or f"it is not done within {WAIT_SECONDS:.0f} s"
            raise TrackingError(
                f"MLflow does not have '{path}' of the run {directory.id} yet: {reason}; try again later"
            )
        wake(paths)
        time.sleep(0.05)


def register(
    paths: WorkspacePaths,
    mlflow_run_id: str,
    name: str,
    path: str,
    tags: Mapping[str, object],
    description: str | None,
) -> ModelVersion:
    """Make a version of the model `name`, and the model where it is new, of an artifact of an MLflow run.

    Raises:
        UserErrorException: MLflow does not take the name.
        TrackingError: MLflow cannot be reached.
    """
    for variable, value in server.mlflow_environment().items():
        os.environ.setdefault(variable, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException, RestException

    client = MlflowClient(tracking_uri=server.tracking_uri(paths))
    try:
        _create_if_new(client, name)
        root = client.get_run(mlflow_run_id).info.artifact_uri
        made = client.create_model_version(
            name,
            f"{root.rstrip('/')}/{'/'.join(artifact_name(part) for part in path.split('/'))}",
            mlflow_run_id,
            tags={key: str(value) for key, value in tags.items()},
            description=description,
        )
    except RestException as error:
        raise UserErrorException(f"MLflow refuses to register the model '{name}': {error}") from error
    except MlflowException as error:
        if error.error_code == "INVALID_PARAMETER_VALUE":
            raise UserErrorException(f"MLflow refuses to register the model '{name}': {error}") from error
        raise TrackingError(f"MLflow did not register the model '{name}': {error}") from error
    return ModelVersion(name, int(made.version), f"models:/{name}/{made.version}")


def _create_if_new(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
