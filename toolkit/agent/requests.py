"""Answering what scripts ask through their run directories; see `toolkit.inscript.requests` for the files."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from toolkit.agent.models import ModelRegistry
from toolkit.errors import ModelPathNotFoundException, ToolkitError, TrackingError, UserErrorException
from toolkit.inscript import secrets
from toolkit.inscript.files import is_within, read_json, write_json
from toolkit.inscript.model_registry import CACHE
from toolkit.inscript.requests import PATIENCE_SECONDS, Request
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.workspace_directory import WorkspaceDirectory
from toolkit.paths import WorkspacePaths

if TYPE_CHECKING:
    from mlflow import MlflowClient

BEAT_SECONDS = 2.0


class Requests:
    """Answers the requests of runs, each once: the reply is written before the request is taken away."""

    def __init__(
        self,
        paths: WorkspacePaths,
        client: Callable[[], MlflowClient],
        answers: Callable[[], bool],
        mlflow_run_id: Callable[[str], str],
    ) -> None:
        """`answers` says whether MLflow answers at all; `mlflow_run_id` gives, and makes, the MLflow run of a run."""
        self._paths = paths
        self._client = client
        self._answers = answers
        self._mlflow_run_id = mlflow_run_id

    def answer_all(self, run: RunDirectory) -> None:
        """Answer what is asked in one run directory.

        Raises:
            Exception: MLflow does not answer. What is asked stays, until it has waited as long as its script waits.
        """
        for request in _pending(run):
            if os.path.exists(request.reply):  # a tracker was ended between the two
                _take_away(request)
                continue
            asked = read_json(request.path)
            if asked is None:  # taken back
                continue
            try:
                with _beating(request.work):
                    reply = {"value": self._value(run, request, asked)}
            except Exception as error:
                waited = time.time() - float(asked.get("time") or 0)
                if not _is_the_askers(error) and waited < PATIENCE_SECONDS and not self._answers():
                    raise
                reply = {"error": {"kind": type(error).__name__, "message": str(error)}}
            write_json(request.reply, reply)
            _take_away(request)

    def _value(self, run: RunDirectory, request: Request, asked: dict[str, Any]) -> Any:
        operation, fields = str(asked["operation"]), dict(asked["fields"])
        if operation == "secrets.get":
            return secrets.get(WorkspaceDirectory(str(self._paths.root)), str(fields["name"]))
        registry = ModelRegistry(self._paths, self._client())
        if operation == "models.find":
            return registry.find(**fields)
        if operation == "models.register":
            return self._register(registry, run, request, fields)
        if operation == "models.update":
            return registry.update(**fields)
        if operation == "models.delete":
            return registry.delete(**fields)
        if operation == "models.path":
            return registry.path(**{**fields, "root": os.path.join(run.root, CACHE)})
        raise UserErrorException(
            f"'{operation}' is nothing that a script can ask for: its toolkit is of another version"
        )

    def _register(
        self, registry: ModelRegistry, run: RunDirectory, request: Request, fields: dict[str, Any]
    ) -> dict[str, Any]:
        run_id = str(fields.pop("run", run.id))
        handed_over = fields.pop("handed_over", None)
        path = os.path.join(request.files, str(handed_over)) if handed_over else str(fields.pop("path"))
        if not is_within(run.root, path):
            raise ModelPathNotFoundException(f'Error, the model path "{path}" is not in the folder of the run {run.id}')
        definition = read_json(self._paths.run(run_id).definition, {})
        fields["facts"] = {**fields["facts"], "run_id": run_id, "experiment": definition.get("experiment")}
        mlflow_run_id = self._mlflow_run_id(run_id)
        return registry.register(path=path, mlflow_run_id=mlflow_run_id, request=f"{run.id}/{request.name}", **fields)


def clear(run: RunDirectory) -> None:
    """Forget what a run that has ended was given and asked."""
    for folder in ("requests", CACHE):
        shutil.rmtree(os.path.join(run.root, folder), ignore_errors=True)


def _is_the_askers(error: Exception) -> bool:
    """Whether an error is the matter of whoever asked, and not of MLflow."""
    return isinstance(error, ToolkitError) and not isinstance(error, TrackingError)


def _pending(run: RunDirectory) -> list[Request]:
    """The requests of a run that are not answered, the oldest first."""
    try:
        names = os.listdir(os.path.join(run.root, "requests"))
    except OSError:
        return []
    wanted = [name[: -len(".json")] for name in names if name.endswith(".json") and not name.endswith(".reply.json")]
    return [Request(run, name) for name in sorted(wanted)]


def _take_away(request: Request) -> None:
    for path in (request.path, request.work):
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
    shutil.rmtree(request.files, ignore_errors=True)


@contextmanager
def _beating(path: str) -> Iterator[None]:
    """Touch `path` now and again, so that who waits sees that somebody works."""
    done = threading.Event()

    def beat() -> None:
        while True:
            try:
                with open(path, "w"):
                    pass
            except OSError:
                return
            if done.wait(BEAT_SECONDS):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
