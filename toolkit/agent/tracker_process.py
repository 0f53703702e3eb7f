"""The tracker as the agent sees it: a process beside it that imports MLflow, so that the agent stays small."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from toolkit import configuration
from toolkit.agent import server
from toolkit.background import background_environment
from toolkit.errors import ToolkitError
from toolkit.inscript.files import read_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import WorkspacePaths
from toolkit.targets.elsewhere import is_local

_MLFLOW_PIN = re.compile(r"^mlflow(?:-skinny)?==([^\s;]+)", re.MULTILINE)
KNOWN_SECONDS = 20.0  # how long a script that uses MLflow waits for its MLflow run: a first start makes the database
RESTART_SECONDS = 5.0


class TrackerProcess:
    """Starts the tracker when there is work for it, restarts it when it was ended, and reads how far it is."""

    def __init__(self, paths: WorkspacePaths) -> None:
        self._paths = paths
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._waiting: dict[str, float] = {}
        self._known_marks: dict[str, int] = {}
        self._uri = ""

    def _tracking_uri(self) -> str:
        """As the configuration says, or said before it was broken: no queued run fails for what a person is typing."""
        with contextlib.suppress(ToolkitError):
            self._uri = configuration.load(self._paths.configuration).tracking_uri
        return self._uri

    def poke(self) -> None:
        """There is news for MLflow."""
        if self._process is not None and self._process.poll() is None and self._process.stdin is not None:
            try:
                self._process.stdin.write(b"\n")
                self._process.stdin.flush()
                return
            except OSError:
                pass
        if time.time() - self._started > RESTART_SECONDS:
            self._start()

    def _start(self) -> None:
        self._started = time.time()
        with self._paths.agent_log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "toolkit.agent.tracking", str(self._paths.root)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=background_environment(),
            )

    def keep_alive(self) -> None:
        """Tell it of runs that were marked anew (a tag after the end); start it where it was ended with work left."""
        marks = self._marks()
        news = marks.items() - self._known_marks.items()
        self._known_marks = marks
        if news or (marks and (self._process is None or self._process.poll() is not None)):
            self.poke()

    def _marks(self) -> dict[str, int]:
        """The runs that MLflow does not have all of, and when each was marked (ns)."""
        try:
            with os.scandir(self._paths.untracked) as entries:
                return {entry.name: entry.stat().st_mtime_ns for entry in entries}
        except FileNotFoundError:  # the folder, or a mark that was just taken away: news of its own
            return {}

    def close(self) -> None:
        """Let it finish the step it is at, and end."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def has_work(self) -> bool:
        try:
            with os.scandir(self._paths.untracked) as entries:
                return any(entries)
        except FileNotFoundError:
            return False

    def is_done(self, run: RunDirectory) -> bool:
        return not (self._paths.untracked / run.id).exists()

    def is_down(self) -> bool:
        """Whether the last try found the tracking server out of reach: then nothing waits for it."""
        state: dict[str, Any] = read_json(str(self._paths.agent / "tracker.json"), {})
        return bool(state.get("unreachable"))

    def variables(self, run: RunDirectory, version: str, is_here: bool = True) -> dict[str, str] | None:
        """The MLflow variables of a script whose environment has MLflow `version` ("" for none).

        None while they will be known in a moment.

        Only a script whose environment has MLflow waits for its MLflow run; the others never wait for tracking. One
        that does not run here (`is_here`) is told nothing of a store that only this machine reaches.
        """
        if not is_here and is_local(self._tracking_uri()):
            return {}
        known = read_json(run.tracking, {})
        if not known.get("mlflow_run_id") and version and not self.is_down():
            since = self._waiting.setdefault(run.id, time.time())
            if time.time() - since < KNOWN_SECONDS:
                return None
        self._waiting.pop(run.id, None)
        variables = {"MLFLOW_TRACKING_URI": server.tracking_uri_for_scripts(self._paths, version)}
        if known.get("mlflow_run_id"):
            variables["MLFLOW_RUN_ID"] = known["mlflow_run_id"]
            variables["MLFLOW_EXPERIMENT_ID"] = known["experiment_id"]
        return variables


def mlflow_version(environment: dict[str, Any]) -> str:
    """The version of MLflow in what a run got for its environment, or "": by its lock, else by looking."""
    lock = environment.get("lock")
    if lock:
        conda = [package["version"] for package in lock["conda"] if package["name"] in ("mlflow", "mlflow-skinny")]
        return max(conda + _MLFLOW_PIN.findall(lock["requirements"]), default="")
    if environment.get("image"):
        return ""
    python = str(environment["python"])
    if python == sys.executable:
        return server.our_version()
    prefix = Path(python).parent.parent
    found = glob.glob(str(prefix / "lib" / "python*" / "site-packages" / "mlflow*-*.dist-info"))
    versions = [Path(path).name.split("-")[1].removesuffix(".dist-info") for path in found]
    return max(versions, default="")
