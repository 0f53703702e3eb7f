"""An artifact of a run becomes a registered model, from a control script."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from toolkit.agent import models
from toolkit.agent.artifacts import artifact_name, folder_name
from toolkit.agent.wake import wake
from toolkit.errors import TrackingError, UserErrorException
from toolkit.inscript.files import is_within, read_json
from toolkit.inscript.registering import find_artifact, place_of
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import WorkspacePaths

WAIT_SECONDS = 60.0


def register(
    paths: WorkspacePaths,
    directory: RunDirectory,
    files: list[tuple[str, str]],
    ended: Callable[[], bool],
    fields: dict[str, Any],
    model_path: str | None,
) -> dict[str, Any]:
    """Register an artifact of a run, and wait until MLflow has it.

    What a run left at its end is registered where MLflow has it. While a run goes on its artifacts may change, so a
    copy is registered.

    Args:
        files: the names of the run's files, with their paths.
        ended: whether the run has ended.
        fields: as `ModelRegistry.register` takes them.

    Raises:
        UserErrorException: the run has no such artifact; or it goes on, and its outputs are not complete.
        TrackingError: MLflow cannot be reached, or is not done within a minute.
    """
    artifact = find_artifact([name for name, _ in files], fields["name"], model_path)
    definition = read_json(directory.definition, {})
    facts = {**fields["facts"], "run_id": directory.id, "experiment": definition.get("experiment")}
    whole = {**fields, "facts": facts}
    wanted = [(name, path) for name, path in files if name == artifact or name.startswith(f"{artifact}/")]
    if ended():
        mlflow_run_id = _wait_until_known(paths, directory, wanted)
        registry = models.registry_of(paths)
        facts["folder"] = artifact not in dict(wanted)
        sent_as = folder_name(artifact) if facts["folder"] else artifact_name(artifact)
        return registry.register_artifact(mlflow_run_id=mlflow_run_id, artifact=sent_as, **whole)
    if any(is_within(directory.outputs, path) for _, path in wanted):
        raise UserErrorException(
            f"the run {directory.id} goes on, and its outputs are complete when it has ended: call "
            "run.wait_for_completion() before run.register_model(...)"
        )
    mlflow_run_id = _wait_until_known(paths, directory, [])
    place = place_of(files, artifact)
    return models.registry_of(paths).register(path=place, mlflow_run_id=mlflow_run_id, **whole)


def _wait_until_known(paths: WorkspacePaths, directory: RunDirectory, wanted: list[tuple[str, str]]) -> str:
    """Wait until MLflow has the run, and these files of it as they are now. Returns the id of the MLflow run."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        state = read_json(directory.tracking, {})
        sent = state.get("artifacts", {})
        if state.get("mlflow_run_id") and not state.get("creating") and all(_is_sent(sent, *one) for one in wanted):
            return str(state["mlflow_run_id"])
        trouble = read_json(str(paths.agent / "tracker.json"), {}).get("unreachable")
        if trouble or time.monotonic() > deadline:
            what = f"'{wanted[0][0]}' of the run" if wanted else "the run"
            reason = trouble or f"it is not done within {WAIT_SECONDS:.0f} s"
            raise TrackingError(f"MLflow does not have {what} {directory.id} yet: {reason}; try again later")
        wake(paths)
        time.sleep(0.05)


def _is_sent(sent: dict[str, list[int]], name: str, path: str) -> bool:
    facts = os.stat(path)
    return sent.get(name) == [facts.st_size, facts.st_mtime_ns]
