"""The workspace's own MLflow store: made once, by whoever needs it first.

`python -m toolkit.agent.store WORKSPACE_FOLDER COMMAND…` makes the store and becomes COMMAND: two MLflow processes that
open a new database at once would both try to make its tables.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import sys
from pathlib import Path

from toolkit.paths import WorkspacePaths


def uri(paths: WorkspacePaths) -> str:
    """The tracking URI of the workspace's own store."""
    return f"sqlite:///{paths.mlflow_database}"


def is_made(paths: WorkspacePaths) -> bool:
    return (paths.mlflow / "made").exists()


def make(paths: WorkspacePaths) -> None:
    """Make the database and its tables where they are not there; takes two seconds once."""
    paths.mlflow_artifacts.mkdir(parents=True, exist_ok=True)
    with (paths.mlflow / "store.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_made(paths):
            return
        with sqlite3.connect(paths.mlflow_database) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # of the file, for all: read while it is written
        connection.close()
        from mlflow import MlflowClient

        MlflowClient(tracking_uri=uri(paths)).search_experiments(max_results=1)
        (paths.mlflow / "made").touch()


if __name__ == "__main__":
    make(WorkspacePaths(Path(sys.argv[1])))
    os.execvp(sys.argv[2], sys.argv[2:])
