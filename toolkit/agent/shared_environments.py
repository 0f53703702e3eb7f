"""Environments that a team shares through its tracking server: the versions, each with its definition and locks.

An MLflow experiment `toolkit-environments` holds a run a version: its name, number and digest as tags, its definition
and locks as the artifacts `definition.json` and `locks.json`. What two machines must not both take (a number, a
definition) is claimed by creating an experiment of that name, of which the server makes one only; it is deleted at once
and so stays out of sight, and its name stays taken.

    python -m toolkit.agent.shared_environments REQUEST.json ANSWER.json

is the process that talks to the server: MLflow is imported in there, and nothing of it reaches the caller's process.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.background import background_environment
from toolkit.environments.pip_config import without_credentials
from toolkit.errors import TrackingError
from toolkit.inscript.files import read_json, write_json

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "toolkit-environments"
CALL_SECONDS = 120.0
PUBLISH_SECONDS = 15.0  # how long one waits for another that is publishing the same definition
_PAGE = 1000
_NAME, _VERSION, _DIGEST, _READY = (f"toolkit.environment.{tag}" for tag in ("name", "version", "digest", "ready"))
_UNUSED = ("pandas", "scipy", "sklearn", "matplotlib", "pyarrow", "torch", "tensorflow")  # a second of start


# -- as the rest of the toolkit calls it ------------------------------------------------------------------------------


def publish(
    uri: str, name: str, digest: str, definition: dict[str, Any], locks: list[dict[str, Any]]
) -> dict[str, Any]:
    """Keep a definition and its locks under the next version of a name.

    Returns:
        The version, as `fetch` has it: the one that has the definition already, with its own locks, or the new one.

    Raises:
        TrackingError: the server cannot be reached, or refuses.
    """
    document = {"name": name, "digest": digest, "definition": definition, "locks": locks}
    published: dict[str, Any] = _call(uri, "publish", document)
    return published


def versions(uri: str) -> dict[str, list[str]]:
    """The versions of every name, the oldest first.

    Raises:
        TrackingError: the server cannot be reached, or refuses.
    """
    found: dict[str, list[str]] = _call(uri, "versions", {})
    return found


def fetch(uri: str, name: str, version: str | None = None) -> dict[str, Any] | None:
    """A version (the latest without one): "version", "digest", "definition", "locks"; None where there is none.

    Raises:
        TrackingError: the server cannot be reached, or refuses.
    """
    found: dict[str, Any] | None = _call(uri, "fetch", {"name": name, "version": version})
    return found


def _call(uri: str, operation: str, document: dict[str, Any]) -> Any:
    with tempfile.TemporaryDirectory(prefix="toolkit-environments-") as folder:
        request, answer = os.path.join(folder, "request.json"), os.path.join(folder, "answer.json")
        write_json(request, {"uri": uri, "operation": operation, **document})
        command = [sys.executable, "-m", "toolkit.agent.shared_environments", request, answer]
        try:
            outcome = subprocess.run(
                command, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                timeout=CALL_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise _unreachable(uri, f"it did not answer within {CALL_SECONDS:.0f} s") from None
        answered = read_json(answer, {})
        if "result" in answered:
            return answered["result"]
        last = [line for line in outcome.stderr.splitlines() if line.strip()][-1:]
        raise _unreachable(uri, answered.get("error") or f"exit code {outcome.returncode} {''.join(last)}")


def _environment() -> dict[str, str]:
    from toolkit.agent.server import mlflow_environment

    asked = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    given = background_environment()
    return {**given, **mlflow_environment(), **{key: value for key, value in asked.items() if key not in given}}


def _unreachable(uri: str, why: str) -> TrackingError:
    refused = re.search(r"\[Errno -?\d+\] [^\"')]+", why)  # in the middle of all that urllib3 says
    return TrackingError(
        f"the tracking server {without_credentials(uri)} did not serve the shared environments: "
        f"{without_credentials(refused[0] if refused else why)}. Is it up, and is tracking_uri in workspace.yaml right?"
    )


# -- the process that talks to the server -----------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    request = json.loads(Path(arguments[1]).read_text(encoding="utf-8"))
    for module in _UNUSED:
        sys.modules.setdefault(module, None)  # type: ignore[arg-type]
    answer: dict[str, Any]
    try:
        from mlflow import MlflowClient

        shared = Shared(MlflowClient(tracking_uri=request["uri"]))
        answer = {"result": _OPERATIONS[request["operation"]](shared, request)}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    write_json(arguments[2], answer)
    return 0


class Shared:
    """The shared environments as one client sees them."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def versions(self) -> dict[str, list[str]]:
        found: dict[str, set[int]] = {}
        for run in self._runs():
            if _is_ready(run):
                found.setdefault(run.data.tags[_NAME], set()).add(int(run.data.tags[_VERSION]))
        return {name: [str(number) for number in sorted(numbers)] for name, numbers in sorted(found.items())}

    def fetch(self, name: str, version: str | None) -> dict[str, Any] | None:
        runs = {int(run.data.tags[_VERSION]): run for run in self._runs(name) if _is_ready(run)}
        wanted = max(runs, default=0) if version is None else int(version) if version.isdigit() else 0
        run = runs.get(wanted)
        return None if run is None else self._document(run)

    def _document(self, run: Run) -> dict[str, Any]:
        return {
            "version": run.data.tags[_VERSION],
            "digest": run.data.tags[_DIGEST],
            "definition": self._artifact(run, "definition.json"),
            "locks": self._artifact(run, "locks.json"),
        }

    def publish(
        self, name: str, digest: str, definition: dict[str, Any], locks: list[dict[str, Any]]
    ) -> dict[str, Any]:
        from mlflow.entities import ViewType

        experiment = self._experiment()
        present = self._published(name, digest)
        if present is None and not self._claim(name, digest[:32]):
            present = self._wait_for(name, digest)  # else whoever claimed it has ended, or its run was deleted
        if present is not None:
            return self._document(present)
        taken = [int(run.data.tags[_VERSION]) for run in self._runs(name, ViewType.ALL)]
        number = 1 + max(taken, default=0)
        while not self._claim(name, str(number)):
            number += 1
        tags = {_NAME: name, _VERSION: str(number), _DIGEST: digest}
        run = self._client.create_run(experiment, tags=tags, run_name=f"{name}:{number}")
        self._client.log_dict(run.info.run_id, definition, "definition.json")
        self._client.log_dict(run.info.run_id, locks, "locks.json")
        self._client.set_tag(run.info.run_id, _READY, "true")
        self._client.set_terminated(run.info.run_id)
        return {"version": str(number), "digest": digest, "definition": definition, "locks": locks}

    def _published(self, name: str, digest: str) -> Run | None:
        return next((run for run in self._runs(name) if run.data.tags[_DIGEST] == digest and _is_ready(run)), None)

    def _wait_for(self, name: str, digest: str) -> Run | None:
        """The version of a definition that somebody else is publishing; None where that does not come about."""
        from mlflow.entities import ViewType

        deadline = time.monotonic() + PUBLISH_SECONDS
        while time.monotonic() < deadline:
            present = self._published(name, digest)
            if present is not None:
                return present
            if any(run.data.tags[_DIGEST] == digest for run in self._runs(name, ViewType.DELETED_ONLY)):
                return None
            time.sleep(0.2)
        return None

    def _runs(self, name: str | None = None, view: int | None = None) -> Iterator[Run]:
        """The runs of versions, of one name or of all."""
        from mlflow.entities import ViewType

        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            return
        wanted = f"tags.`{_NAME}` = '{name}'" if name else f"tags.`{_VERSION}` != ''"
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [found.experiment_id], wanted, run_view_type=ViewType.ACTIVE_ONLY if view is None else view,
                max_results=_PAGE, page_token=token,
            )  # fmt: skip
            yield from (run for run in page if str(run.data.tags.get(_VERSION, "")).isdigit())
            token = page.token
            if not token:
                return

    def _experiment(self) -> str:
        """The experiment of all versions; made, or restored, where it is not there."""
        self._create_experiment(EXPERIMENT)
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _claim(self, name: str, what: str) -> bool:
        """Take a number or a digest of a name; False where it was taken before, by whomever."""
        created = self._create_experiment(f"{EXPERIMENT}/claims/{name}/{what}")
        if created is None:
            return False
        with suppress(Exception):  # what counts is its name; left standing it would only be seen
            self._client.delete_experiment(created)
        return True

    def _create_experiment(self, name: str) -> str | None:
        """The id of a new experiment; None where there is one of this name, deleted ones too."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.create_experiment(name))
        except MlflowException as error:
            if error.error_code == "RESOURCE_ALREADY_EXISTS" or "already exists" in str(error):
                return None
            raise

    def _artifact(self, run: Run, path: str) -> Any:
        with tempfile.TemporaryDirectory(prefix="toolkit-environments-") as folder:
            try:
                file = self._client.download_artifacts(run.info.run_id, path, folder)
                return json.loads(Path(file).read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise RuntimeError(
                    f"{path} of version {run.data.tags[_VERSION]} cannot be read from {run.info.artifact_uri} "
                    f"({error}); a server for several machines serves its artifacts: `mlflow server "
                    "--artifacts-destination FOLDER`"
                ) from error


def _is_ready(run: Run) -> bool:
    """Whether its artifacts are all there."""
    return bool(run.data.tags.get(_READY))


_OPERATIONS: dict[str, Callable[[Shared, dict[str, Any]], Any]] = {
    "versions": lambda shared, _: shared.versions(),
    "fetch": lambda shared, asked: shared.fetch(asked["name"], asked["version"]),
    "publish": lambda shared, asked: shared.publish(
        asked["name"], asked["digest"], asked["definition"], asked["locks"]
    ),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv))
