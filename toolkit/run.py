"""`Run` as a control script sees it: submitted, watched, cancelled, read."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

from toolkit import portal, stream
from toolkit.agent import wake as agent
from toolkit.agent.artifacts import below
from toolkit.errors import ActivityFailedException, ExperimentExecutionException, TrackingError, UserErrorException
from toolkit.inscript import run as inscript_run
from toolkit.inscript.files import claim_json, is_within, read_json
from toolkit.inscript.spool import Spool
from toolkit.paths import WorkspacePaths, home
from toolkit.phases import seconds_of_phases
from toolkit.progress import spinner
from toolkit.status import FAILED, TERMINAL, Event, last_event

if TYPE_CHECKING:
    from toolkit.agent.models import ModelVersion
    from toolkit.environment import Environment
    from toolkit.experiment import Experiment
    from toolkit.workspace import Workspace

POLL_SECONDS = 0.05


class Run(inscript_run.Run):
    """A run of an experiment. `Run.get_context()` inside a script, `Experiment.submit` outside.

    Args:
        experiment: the experiment of the run.
        run_id: its id.

    Raises:
        UserErrorException: the experiment has no such run.
    """

    def __init__(self, experiment: Experiment, run_id: str, outputs: object = None, **kwargs: object) -> None:
        directory = experiment.workspace.paths.run(run_id)
        if os.sep in run_id or not os.path.exists(directory.definition):
            raise UserErrorException(
                f"there is no run '{run_id}' in the workspace '{experiment.workspace.name}'; `toolkit runs` lists them"
            )
        super().__init__(directory)
        self._spool = _AnnouncedSpool(directory.spool, experiment.workspace.paths, run_id)
        self.directory = directory
        self._experiment = experiment
        self._event: Event | None = None

    @classmethod
    def get_context(cls, allow_offline: bool = True, used_for_context_manager: bool = False, **kwargs: Any) -> Any:
        """The run around this process: the submitted one, else an offline run that prints and keeps what is logged.

        Raises:
            RunEnvironmentException: outside a submitted run, with `allow_offline=False`.
        """
        return inscript_run.current(allow_offline, str(home().offline))

    @staticmethod
    def get(workspace: Workspace, run_id: str) -> Run:
        """The run with this id, of whichever experiment."""
        from toolkit.experiment import Experiment

        definition = read_json(workspace.paths.run(run_id).definition) if os.sep not in run_id else None
        if definition is None:
            raise UserErrorException(
                f"there is no run '{run_id}' in the workspace '{workspace.name}'; `toolkit runs` lists them"
            )
        return Run(Experiment(workspace, definition["experiment"]), run_id)

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def experiment(self) -> Any:
        """The `Experiment` of the run."""
        return self._experiment

    @property
    def parent(self) -> Run | None:
        """The run that this one is a child of, or None."""
        parent = self._definition().get("parent")
        return Run(self._experiment, str(parent)) if parent else None

    @property
    def number(self) -> int:
        """The number of the run in its experiment, from 1."""
        return int(self._definition()["number"])

    @property
    def name(self) -> str:
        return self.display_name

    @property
    def display_name(self) -> str:
        return str(self._definition().get("display_name") or self.id)

    @property
    def type(self) -> str:
        return "azureml.scriptrun"

    def get_environment(self) -> Environment:
        """The environment that the run was submitted with."""
        from toolkit.environment import Environment

        environment = self._definition()["environment"]
        return Environment.get(self._experiment.workspace, environment["name"], environment.get("version"))

    def get_snapshot_id(self) -> str:
        """The id of the run's snapshot; equal sources have equal ids."""
        return str(self._definition()["snapshot"]["id"])

    # -- how it goes ----------------------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """The status as it was when it was last asked for."""
        return self._event.status if self._event else self.get_status()

    def get_status(self) -> str:
        """The status now: NotStarted, Starting, Preparing, Queued, Running, …, Completed, Failed or Canceled."""
        return self._refresh().status

    def get_detailed_status(self) -> dict[str, str]:
        """`{"status": …, "details": …}`, the details being the reason in a few words."""
        event = self._refresh()
        return {"status": event.status, "details": event.reason}

    def _refresh(self) -> Event:
        if self._event is None or self._event.status not in TERMINAL:
            self._event = last_event(self.directory)
            if self._event.status not in TERMINAL:
                agent.keep_running(self._experiment.workspace.paths)
        return self._event

    def _ended(self) -> bool:
        return self._refresh().status in TERMINAL

    def get_details(self) -> dict[str, Any]:
        """What is known of the run, under the keys that Azure ML SDK v1 had."""
        definition = self._definition()
        event = self._refresh()
        started = read_json(self.directory.script, {}).get("time")
        ended = read_json(self.directory.exit, {}).get("time") if event.status in TERMINAL else None
        details: dict[str, Any] = {
            "runId": self.id,
            "target": definition.get("target"),
            "status": event.status,
            "startTimeUtc": _utc(started),
            "endTimeUtc": _utc(ended or (event.time if event.status in TERMINAL else None)),
            "properties": {"ContentSnapshotId": (definition.get("snapshot") or {}).get("id"), **self.get_properties()},
            "inputDatasets": [],
            "outputDatasets": [],
            "runDefinition": {
                "script": definition.get("script"),
                "command": " ".join(definition.get("command") or []),
                "arguments": definition.get("arguments"),
                "target": definition.get("target"),
                "environment": definition.get("environment"),
                "environmentVariables": definition.get("environment_variables"),
                "maxRunDurationSeconds": definition.get("max_run_duration_seconds"),
                "nodeCount": 1,
            },
            "logFiles": {name: path for name, path in self._files() if name.startswith(("azureml-logs/", "logs/"))},
            "submittedBy": definition.get("user"),
            "phases": seconds_of_phases(self.directory),
            "environment": self._environment_facts(),
        }
        if event.error:
            details["error"] = {"error": event.error}
        return details

    def _environment_facts(self) -> dict[str, Any]:
        """What the run got for its environment: interpreter, image, lock, torch variant, substitutions."""
        record = read_json(self.directory.environment, {})
        lock = record.get("lock") or {}
        facts = {name: record.get(key) for name, key in (("interpreter", "python"), ("image", "image"))}
        facts["lock_hash"] = record.get("lock_hash")
        facts.update({key: lock.get(key) for key in ("torch", "substitutions", "notices")})
        return {key: value for key, value in facts.items() if value}

    def get_details_with_logs(self) -> dict[str, Any]:
        """`get_details` with the text of the logs in place of their paths."""
        details = self.get_details()
        for name, path in details["logFiles"].items():
            with open(path, encoding="utf-8", errors="replace") as file:
                details["logFiles"][name] = file.read()
        return details

    def wait_for_completion(
        self, show_output: bool = False, wait_post_processing: bool = False, raise_on_error: bool = True
    ) -> dict[str, Any]:
        """Wait until the run has ended, its logs on standard output where `show_output` asks for them.

        Raises:
            ActivityFailedException: the run failed, and `raise_on_error` is True.
            ExperimentExecutionException: the waiting was interrupted (Ctrl-C); the run goes on.
        """
        try:
            if show_output:
                self._show_output()
            while not self._ended():
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            raise ExperimentExecutionException(
                "The output streaming for the run interrupted.\n"
                "But the run is still executing on the compute target.\n"
                f"To see it again: toolkit logs -f {self.id}\nTo cancel it: toolkit cancel {self.id}"
            ) from None
        details = self.get_details()
        if show_output:
            self._show_summary(details)
        if details["status"] == FAILED and raise_on_error:
            raise ActivityFailedException(json.dumps(details["error"], indent=4, ensure_ascii=False))
        return details

    def _show_output(self) -> None:
        print(f"RunId: {self.id}")
        print(f"Web View: {self._url_or_reason()}\n", flush=True)
        stream.print_logs(self.directory, self._ended, sys.stdout)

    def _show_summary(self, details: dict[str, Any]) -> None:
        print("Execution Summary\n=================")
        print(f"RunId: {self.id}\nStatus: {details['status']}")
        if "error" in details:
            print(f"Error: {details['error']['error']['message']}")
        print(f"Web View: {self._url_or_reason()}\n", flush=True)

    def _url_or_reason(self) -> str:
        try:
            return portal.run_url(self, wait=False)
        except TrackingError as error:
            return f"({error})"

    def get_portal_url(self) -> str:
        """The URL that opens the run in the MLflow UI; the server is started if it does not run (about 4 s).

        Raises:
            TrackingError: the server does not start, or MLflow does not take the run.
        """
        with spinner("Starting the MLflow UI"):
            return portal.run_url(self)

    @property
    def portal_url(self) -> str:
        return self.get_portal_url()

    def cancel(self) -> None:
        """Ask for the end of the run: its whole process tree gets TERM and, after a grace, KILL. Returns at once."""
        if not self._ended():
            claim_json(self.directory.cancel, {"time": time.time(), "by": os.getpid()})
            agent.wake(self._experiment.workspace.paths)

    def complete(self, _set_status: bool = True) -> None:
        """Nothing to do for a submitted run: its status comes from the exit of its process."""
        self.flush()

    # -- what it left ---------------------------------------------------------------------------------------------

    def _files(self) -> list[tuple[str, str]]:
        run = self.directory
        found = dict(below(run.artifacts, ""))
        for folder, prefix in ((run.logs, "azureml-logs"), (run.script_logs, "logs"), (run.outputs, "outputs")):
            found.update(below(folder, prefix))
        return sorted(found.items())

    def get_file_names(self) -> list[str]:
        """The files of the run: `azureml-logs/…`, `logs/…`, `outputs/…` and what was uploaded."""
        return [name for name, _ in self._files()]

    def download_file(self, name: str, output_file_path: str | None = None, _validate_checksum: bool = False) -> None:
        """Copy a file of the run to `output_file_path` (a file or an existing folder; default the current folder).

        Raises:
            UserErrorException: the run has no such file; the message says which it has.
        """
        files = dict(self._files())
        if name not in files:
            raise UserErrorException(
                f"Cannot find the artifact '{name}' in container 'dcid.{self.id}'; it has: {', '.join(files) or 'none'}"
            )
        target = output_file_path or os.path.basename(name)
        if os.path.isdir(target):
            target = os.path.join(target, os.path.basename(name))
        os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
        shutil.copyfile(files[name], target)

    def download_files(
        self,
        prefix: str | None = None,
        output_directory: str | None = None,
        output_paths: list[str] | None = None,
        batch_size: int = 100,
        append_prefix: bool = True,
        timeout_seconds: float | None = None,
    ) -> None:
        """Copy the files whose names start with `prefix` below `output_directory`."""
        root = output_directory or "."
        names = [name for name in self.get_file_names() if name.startswith(prefix or "")]
        for index, name in enumerate(names):
            kept = name if append_prefix else name[len(prefix or "") :].lstrip("/") or os.path.basename(name)
            target = os.path.join(root, output_paths[index] if output_paths else kept)
            if is_within(root, target) or output_paths:
                self.download_file(name, target)

    def get_all_logs(self, destination: str | None = None) -> list[str]:
        """Copy the run's logs to a folder (default: a folder named like the run). Returns their paths."""
        root = destination or os.path.join(".", self.id)
        names = [name for name in self.get_file_names() if name.startswith(("azureml-logs/", "logs/"))]
        for name in names:
            self.download_file(name, os.path.join(root, name))
        return [os.path.join(root, name) for name in names]

    def register_model(
        self,
        model_name: str,
        model_path: str | None = None,
        tags: dict[str, Any] | None = None,
        properties: dict[str, Any] | None = None,
        model_framework: str | None = None,
        model_framework_version: str | None = None,
        description: str | None = None,
    ) -> ModelVersion:
        """Register a file or a folder that the run left as a version of a model in MLflow's model registry.

        Args:
            model_name: the model; it is made where it is new.
            model_path: the artifact, as in "outputs/model"; by default the one called `model_name`, else what Train
                PyTorch Model left (`outputs/trained_model_outputs`).
            tags: tags of the version.
            properties: kept as tags too, which MLflow has no other word for.
            model_framework, model_framework_version: kept as tags of these names.
            description: of the version.

        Raises:
            UserErrorException: the run has no such artifact, or has not ended; or MLflow does not take the name.
            TrackingError: MLflow cannot be reached.
        """
        from toolkit.agent import models

        files = self.get_file_names()
        path = models.find_artifact(files, model_name, model_path)
        paths = self._experiment.workspace.paths
        mlflow_run_id = models.wait_until_tracked(paths, self.directory, path, files, self._ended)
        framework = {"model_framework": model_framework, "model_framework_version": model_framework_version}
        kept = {**(properties or {}), **{key: value for key, value in framework.items() if value}, **(tags or {})}
        return models.register(paths, mlflow_run_id, model_name, path, kept, description)

    def __repr__(self) -> str:
        return f"Run(experiment={self._experiment.name!r}, id={self.id!r}, status={self.status!r})"


class _AnnouncedSpool(Spool):
    """The spool of a control script: what is logged from outside reaches MLflow also when the run has ended."""

    def __init__(self, folder: str, paths: WorkspacePaths, run_id: str) -> None:
        super().__init__(folder)
        self._paths = paths
        self._run_id = run_id

    def append(self, line: bytes) -> None:
        super().append(line)
        (self._paths.untracked / self._run_id).touch()
        agent.wake(self._paths)


def _utc(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}Z"
