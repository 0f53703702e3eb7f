"""The files of a run as MLflow artifacts: logs while it runs, outputs when it ends."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolkit.inscript.details import below
from toolkit.inscript.rundir import RunDirectory

if TYPE_CHECKING:
    from mlflow import MlflowClient

EVERY_SECONDS = 2.0  # while the run goes on
SHARE_OF_TIME = 0.05  # a growing log is sent again and again: never spend more of the time on it than this


class Artifacts:
    """Uploads what is new or changed. `uploaded` is kept by the caller: `{artifact: [bytes, mtime in ns]}`."""

    def __init__(self, directory: RunDirectory, client: MlflowClient, uploaded: dict[str, list[int]]) -> None:
        self._directory = directory
        self._client = client
        self._uploaded = uploaded
        self._left_out: set[str] = set()
        self._next = 0.0

    def upload(self, mlflow_run_id: str, final: bool) -> None:
        """Send the run's files as they are now; `outputs/` only when the run has ended."""
        began = time.monotonic()
        if not final and began < self._next:
            return
        for name, path in self._files(final):
            if not _is_text(name):
                self._leave_out(name)
                continue
            try:
                facts = os.stat(path)
                mark = [facts.st_size, facts.st_mtime_ns]
                if self._uploaded.get(name) != mark:
                    self._send(mlflow_run_id, name, path)
                    self._uploaded[name] = mark
            except FileNotFoundError:
                if os.path.exists(path):
                    raise
                continue  # a script that rotates its logs has deleted it meanwhile
        spent = time.monotonic() - began
        self._next = time.monotonic() + max(EVERY_SECONDS, spent / SHARE_OF_TIME)

    def _send(self, mlflow_run_id: str, name: str, path: str) -> None:
        folder, base = posixpath.split(artifact_name(name))
        if base == os.path.basename(path):
            self._client.log_artifact(mlflow_run_id, path, folder or None)
            return
        with tempfile.TemporaryDirectory() as renamed:
            link = os.path.join(renamed, base)
            os.symlink(os.path.abspath(path), link)
            self._client.log_artifact(mlflow_run_id, link, folder or None)

    def _leave_out(self, name: str) -> None:
        """A name that is no text has no URL: the file stays in the run's folder, and that is said once."""
        if name not in self._left_out:
            self._left_out.add(name)
            print(
                f"run {self._directory.id}: {name!r} is no artifact, its name is no UTF-8", file=sys.stderr, flush=True
            )

    def _files(self, final: bool) -> Iterator[tuple[str, str]]:
        run = self._directory
        yield from below(run.logs, "azureml-logs")
        yield from below(run.artifacts, "")
        yield from below(run.script_logs, "logs")
        for path in (run.environment, run.git_diff):
            if os.path.exists(path):
                yield f"toolkit/{os.path.basename(path)}", path
        if final:
            yield from below(run.outputs, "outputs")


def artifact_name(name: str) -> str:
    """A name that survives a URL: MLflow's client cuts at `#` and `?` and decodes `%`, and two files became one.

    Such a name gets a mark of its own, so that no two become one here either.
    """
    clean = folder_name(name)
    if clean == name:
        return name
    root, extension = posixpath.splitext(clean)
    return f"{root}-{hashlib.sha256(name.encode()).hexdigest()[:6]}{extension}"


def folder_name(name: str) -> str:
    """What the folder of such names is called: its files are told apart by their own marks."""
    return re.sub("[#?%]", "_", name)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
