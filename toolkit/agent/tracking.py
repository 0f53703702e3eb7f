"""The tracker: the process that carries runs into MLflow, and the only one that imports it beside the server.

`python -m toolkit.agent.tracking WORKSPACE_FOLDER`, started by the agent, which writes a line to its standard input
when there is news and closes it to end it. A run that was carried in whole leaves the folder `untracked`.
"""

from __future__ import annotations

import fcntl
import gc
import os
import select
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit import catalog
from toolkit.agent import requests, server, store
from toolkit.agent.tracked_run import TrackedRun
from toolkit.agent.wake import signal_agent
from toolkit.errors import UserErrorException
from toolkit.inscript.files import read_json, write_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import WorkspacePaths

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOOK_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
FIRST_TIMEOUT_SECONDS = 10
LONGEST_TIMEOUT_SECONDS = 120
# What MLflow imports if it is there and the tracker has no use for: a second of start and 100 MB of memory.
_UNUSED = ("pandas", "scipy", "sklearn", "matplotlib", "pyarrow", "torch", "tensorflow")


def main(arguments: list[str]) -> int:
    paths = WorkspacePaths(Path(arguments[1]))
    lock = os.open(paths.agent / "tracker.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)  # the tracker of an agent that was ended may still finish its step
    gc.set_threshold(50_000, 20, 100)  # a batch is thousands of small objects: collecting less takes a third off it
    Tracker(paths).run()
    return 0


@dataclass(frozen=True)
class _Trouble:
    """A run that MLflow refuses: not before `until` (monotonic seconds) again, and `pause` seconds after that."""

    until: float
    pause: float


_NO_TROUBLE = _Trouble(0.0, 0.5)


class Tracker:
    """Goes round all runs that MLflow does not have whole, and backs off while MLflow cannot be reached."""

    def __init__(self, paths: WorkspacePaths) -> None:
        self._paths = paths
        self._client: MlflowClient | None = None
        self._runs: dict[str, TrackedRun] = {}
        self._experiments: dict[str, str] = {}
        self._troubled: dict[str, _Trouble] = {}
        self._pause = 0.0
        self._stop = False
        self._requests = requests.Requests(paths, self._connect, self._answers, self._mlflow_run_id)

    def run(self) -> None:
        self._tell("")
        while not self._stop:
            began = time.monotonic()
            left = self._round()
            self._wait(left, time.monotonic() - began)

    def _round(self) -> bool:
        """One step for every run. True when some have more to send at once."""
        known = sorted(os.listdir(self._paths.untracked))
        more = False
        for run_id in known:
            if self._troubled.get(run_id, _NO_TROUBLE).until > time.monotonic():
                continue
            try:
                more |= self._advance(run_id)
            except Exception as error:  # MLflow, its server, its database or its disk: the run is tried again
                if not self._answers():
                    self._back_off(run_id, error)
                    return False
                self._set_aside(run_id)
            else:
                self._troubled.pop(run_id, None)
        if known and self._pause:
            self._pause = 0.0
            self._tell("")
        return more

    def _advance(self, run_id: str) -> bool:
        run = self._tracked(run_id)
        if not run.exists:
            return self._forget_leftover(run_id)
        self._requests.answer_all(run.directory)
        if run.advance():
            self._settle(run.directory)
            mark = self._paths.untracked / run_id
            mark.unlink(missing_ok=True)
            if run.has_news():  # whoever logs after the end writes first and marks then: so nothing is missed
                mark.touch()
            del self._runs[run_id]
            self._announce()
        return run.has_more

    def _tracked(self, run_id: str) -> TrackedRun:
        run = self._runs.get(run_id)
        if run is None:
            client = self._connect()
            run = TrackedRun(self._paths.run(run_id), client, self._experiment_id, self._mlflow_run_id, self._announce)
            self._runs[run_id] = run
        return run

    def _mlflow_run_id(self, run_id: str) -> str:
        """The id of the MLflow run of a run of ours, which is made where it is not there."""
        known = read_json(self._paths.run(run_id).tracking, {}).get("mlflow_run_id")
        if known:
            return str(known)
        run = self._tracked(run_id)
        if not run.exists:
            del self._runs[run_id]
            raise UserErrorException(f"there is no run '{run_id}'")
        run.begin()
        if not (self._paths.untracked / run_id).exists():  # not one that is carried on from here
            del self._runs[run_id]
        return run.mlflow_run_id

    def _settle(self, directory: RunDirectory) -> None:
        """A run has ended and MLflow has it: what is left to do is for those who ask about many runs."""
        requests.clear(directory)
        try:
            catalog.keep(self._paths, directory.id)
        except Exception:  # whoever asks next reads the run's folder
            print(f"run {directory.id}: not in the catalogue\n{traceback.format_exc()}", file=sys.stderr, flush=True)

    def _forget_leftover(self, run_id: str) -> bool:
        """Drop the mark of a submit that was ended before its run directory was there."""
        del self._runs[run_id]
        mark = self._paths.untracked / run_id
        if time.time() - mark.stat().st_mtime > 3600:
            mark.unlink()
        return False

    def _announce(self) -> None:
        """Wake the agent: MLflow knows a run now, or has the whole of one."""
        signal_agent(self._paths, b"\n")

    def _experiment_id(self, name: str) -> str:
        """The id of an experiment; it is made, or restored, where it is not there."""
        known = self._experiments.get(name)
        if known is None:
            known = self._experiments[name] = self._find_or_create(self._connect(), name)
        return known

    def _find_or_create(self, client: MlflowClient, name: str) -> str:
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            location = f"{self._paths.mlflow_artifacts}/{name}" if self._is_own_store() else None
            try:
                tags = {"mlflow.experimentKind": "custom_model_development"}  # which side of the UI it opens on
                return str(client.create_experiment(name, artifact_location=location, tags=tags))
            except Exception:
                experiment = client.get_experiment_by_name(name)  # somebody else was first
                if experiment is None:
                    raise
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    def _is_own_store(self) -> bool:
        return self._uri == store.uri(self._paths)

    def _connect(self) -> MlflowClient:
        if self._client is None:
            os.environ.update(server.mlflow_environment())
            os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"  # waiting is done here, where it blocks nothing
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(FIRST_TIMEOUT_SECONDS))
            self._uri = server.tracking_uri(self._paths)
            for name in _UNUSED:
                sys.modules.setdefault(name, None)  # type: ignore[arg-type]
            if self._is_own_store():
                store.make(self._paths)
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=self._uri)
        return self._client

    def _answers(self) -> bool:
        """Whether MLflow answers at all, so that what it refused is the matter of one run."""
        try:
            self._connect().search_experiments(max_results=1)
        except Exception:
            return False
        return True

    def _set_aside(self, run_id: str) -> None:
        """One run has trouble of its own: the others go on."""
        run = self._runs.pop(run_id, None)  # its state on disk is what was reached
        self._experiments.clear()
        if run is not None and run.is_over_and_deleted():
            (self._paths.untracked / run_id).unlink(missing_ok=True)
            self._troubled.pop(run_id, None)
            self._announce()
            print(f"run {run_id} was deleted in MLflow: nothing more of it is sent", file=sys.stderr, flush=True)
            return
        pause = min(self._troubled.get(run_id, _NO_TROUBLE).pause * 2, LONGEST_PAUSE_SECONDS)
        self._troubled[run_id] = _Trouble(time.monotonic() + pause, pause)
        self._report(run_id, pause)

    def _back_off(self, run_id: str, error: Exception) -> None:
        self._runs.pop(run_id, None)  # its state on disk is what was reached
        self._experiments.clear()
        self._pause = min(max(1.0, self._pause * 2), LONGEST_PAUSE_SECONDS)
        timeout = int(os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", FIRST_TIMEOUT_SECONDS))
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(min(timeout * 2, LONGEST_TIMEOUT_SECONDS))  # slow, perhaps
        self._tell(f"{type(error).__name__}: {error}")
        self._report(run_id, self._pause)

    def _report(self, run_id: str, pause: float) -> None:
        print(
            time.strftime("%Y-%m-%d %H:%M:%S"),
            f"run {run_id}: MLflow did not take it; next try in {pause:.0f} s\n",
            traceback.format_exc(),
            file=sys.stderr,
            flush=True,
        )

    def _tell(self, unreachable: str) -> None:
        """Let the agent know whether MLflow answers, so that nothing waits for one that does not."""
        write_json(str(self._paths.agent / "tracker.json"), {"unreachable": unreachable, "time": time.time()})
        signal_agent(self._paths, b"\n")

    def _wait(self, more: bool, spent: float) -> None:
        """Until there is news, or it is time to look again; standard input that ends ends the tracker."""
        seconds = (
            0.0 if more else self._pause or (max(LOOK_SECONDS, spent * 2) if self._runs or self._troubled else 3600.0)
        )
        readable, _, _ = select.select([sys.stdin], [], [], seconds)
        if readable and not os.read(sys.stdin.fileno(), 65536):
            self._stop = True


if __name__ == "__main__":
    sys.exit(main(sys.argv))
