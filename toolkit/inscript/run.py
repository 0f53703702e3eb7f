"""`Run` as a script sees it: what it logs goes into the run directory, in one file write a call."""

import json
import os
import sys
import time
from typing import Any, Dict, List, Optional

from toolkit.inscript import details, logged_run, metrics
from toolkit.inscript.errors import RunEnvironmentException, UserErrorException
from toolkit.inscript.files import claim_json, read_json
from toolkit.inscript.registering import RegistersModels
from toolkit.inscript.run_family import RunFamily
from toolkit.inscript.rundir import RUN_DIRECTORY, RunDirectory
from toolkit.inscript.spool import read_all
from toolkit.inscript.values import warn_once
from toolkit.inscript.wake import wake_agent_of

POLL_SECONDS = 0.05


_OF_EXPERIMENTS = ("get_portal_url", "get_runs", "id", "set_tags", "start_logging", "submit", "tag", "tags")


class ScriptExperiment:
    """The experiment of a submitted run: its name and its workspace; all else where the whole toolkit is installed."""

    def __init__(self, name: str, workspace: Any) -> None:
        self.name = name
        self.workspace = workspace

    def __getattr__(self, name: str) -> Any:
        if name not in _OF_EXPERIMENTS:
            raise AttributeError("an experiment has no attribute %r" % name)
        return getattr(self.workspace.experiments[self.name], name)

    def __repr__(self) -> str:
        return "Experiment(workspace=%r, name=%r)" % (self.workspace.name, self.name)


class Run(RunFamily, RegistersModels):
    """One run. Inside a script, get it by `Run.get_context()`.

    No method that logs ever raises into the training, waits for a server or opens a connection.
    """

    RUN_PATH = "/runs/{0}"
    EXPERIMENT_NAME_PATH = "/experiments/{0}"

    @classmethod
    def get_context(cls, allow_offline: bool = True, used_for_context_manager: bool = False, **kwargs: object) -> "Run":
        """The run around this process: the submitted one, else an offline run that prints and keeps what is logged.

        Raises:
            RunEnvironmentException: outside a submitted run, with `allow_offline=False`.
        """
        return current(allow_offline)

    @classmethod
    def get_submitted_run(cls, **kwargs: object) -> "Run":
        """The submitted run around this process: what `get_context` was called before.

        Raises:
            RunEnvironmentException: outside a submitted run.
        """
        return cls.get_context(allow_offline=False)

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def experiment(self) -> Any:
        """The experiment of the run: its `name` and its `workspace`."""
        from toolkit.inscript.workspace import ScriptWorkspace

        return ScriptExperiment(str(self._definition().get("experiment", "")), ScriptWorkspace())

    @property
    def number(self) -> int:
        """The number of the run in its experiment, from 1."""
        return int(self._definition().get("number") or 0)

    @property
    def name(self) -> str:
        return self.display_name

    @property
    def display_name(self) -> str:
        """What people call the run: by default its id. It may be set."""
        return self._attribute("display_name") or self.id

    @display_name.setter
    def display_name(self, display_name: str) -> None:
        self._spool.record("attribute", name="display_name", value=str(display_name))

    @property
    def description(self) -> Optional[str]:
        """What people say of the run. It may be set."""
        return self._attribute("description") or None

    @description.setter
    def description(self, description: str) -> None:
        self._spool.record("attribute", name="description", value=str(description))

    def _attribute(self, name: str) -> str:
        found = metrics.attributes(self._records())
        return str(found.get(name) or self._definition().get(name) or "")

    def _records(self) -> List[Dict[str, Any]]:
        return read_all(self._directory.spool)

    def get_snapshot_id(self) -> Optional[str]:
        """The id of the run's snapshot; equal sources have equal ids. None for a run without sources."""
        snapshot = self._definition().get("snapshot") or {}
        return str(snapshot["id"]) if snapshot.get("id") else None

    def get_secret(self, name: str) -> str:
        """A secret of the workspace's key vault."""
        secret: str = self.experiment.workspace.get_default_keyvault().get_secret(name)
        return secret

    def get_secrets(self, secrets: List[str]) -> Dict[str, str]:
        """Secrets of the workspace's key vault, by name."""
        found: Dict[str, str] = self.experiment.workspace.get_default_keyvault().get_secrets(secrets)
        return found

    @property
    def input_datasets(self) -> Dict[str, Any]:
        """The run's named inputs: a path for what is mounted or downloaded, else the data set."""
        from toolkit.data.inputs import input_datasets

        found: Dict[str, Any] = input_datasets(self._directory, self.experiment.workspace)
        return found

    @property
    def output_datasets(self) -> Dict[str, Any]:
        """The run's named outputs: the folders that they are written to."""
        from toolkit.data.inputs import output_datasets

        found: Dict[str, Any] = output_datasets(self._directory, self.experiment.workspace)
        return found

    @classmethod
    def get_docs_url(cls) -> str:
        return ""

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.flush()
        if not details.is_logged(self._directory):
            return
        if error is None or (isinstance(error, SystemExit) and error.code in (0, None)):
            self.complete()
        else:
            self.fail(error_details="%s: %s" % (type(error).__name__, error), error_code=type(error).__name__)

    def __repr__(self) -> str:
        return "%s(id=%r)" % (type(self).__name__, self.id)

    # -- tags and properties --------------------------------------------------------------------------------------

    def tag(self, key: str, value: Optional[object] = None) -> None:
        """Set a tag; its value is kept as text. Setting it again changes it."""
        self._spool.record("tag", name=str(key), value="" if value is None else str(value))

    def set_tags(self, tags: Dict[str, Any]) -> None:
        """Set tags by name; those that are not named stay."""
        for key, value in tags.items():
            self.tag(key, value)

    def remove_tags(self, tags: List[str]) -> None:
        """Remove tags, one name or several."""
        for key in [tags] if isinstance(tags, str) else tags:
            self._spool.record("untag", name=str(key))

    def get_tags(self) -> Dict[str, str]:
        return metrics.tags(self._records(), self._definition().get("tags"))

    @property
    def tags(self) -> Dict[str, str]:
        return self.get_tags()

    def add_properties(self, properties: Dict[str, Any]) -> None:
        """Add properties, which never change again.

        Raises:
            UserErrorException: one of them is there already with another value; none was added.
        """
        wanted = {str(key): "" if value is None else str(value) for key, value in properties.items()}
        present = self.get_properties()
        for key, value in wanted.items():
            if present.get(key, value) != value:
                raise UserErrorException(
                    "the property '%s' of the run %s is '%s' and cannot become '%s': properties never change; use a "
                    "tag for what does" % (key, self.id, present[key], value)
                )
        for key, value in wanted.items():
            if key not in present:
                self._spool.record("property", name=key, value=value)

    def get_properties(self) -> Dict[str, str]:
        found = metrics.properties(self._records())
        found.update(self._definition().get("properties") or {})
        return found

    @property
    def properties(self) -> Dict[str, str]:
        return self.get_properties()

    def get_environment(self) -> Any:
        """The environment that the run was submitted with. The script's own needs the whole toolkit for that."""
        return self._whole("run.get_environment()").get_environment()

    def restore_snapshot(self, snapshot_id: Optional[str] = None, path: Optional[str] = None) -> Any:
        """Write the sources of the run to a folder. The script's environment needs the whole toolkit for that."""
        return self._whole("run.restore_snapshot()").restore_snapshot(snapshot_id, path)

    def get_portal_url(self) -> str:
        """The URL of the run in the MLflow UI, or "" where the script's environment cannot tell."""
        try:
            return str(self._whole("run.get_portal_url()").get_portal_url())
        except Exception as error:  # an address that is printed must not end a training
            warn_once("portal", "%s" % error)
            return ""

    @property
    def portal_url(self) -> str:
        return self.get_portal_url()

    # -- how it goes ----------------------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        return self.get_status()

    def get_status(self) -> str:
        """The status now: NotStarted, Starting, Preparing, Queued, Running, …, Completed, Failed or Canceled."""
        return str(details.last_event(self._directory)["status"])

    def get_detailed_status(self) -> Dict[str, str]:
        """`{"status": …, "details": …}`, the details being the reason in a few words."""
        event = details.last_event(self._directory)
        return {"status": str(event["status"]), "details": str(event.get("reason") or "")}

    def get_details(self) -> Dict[str, Any]:
        """What is known of the run, under the keys that Azure ML SDK v1 had."""
        return details.details(self._directory, self.get_properties())

    def get_details_with_logs(self) -> Dict[str, Any]:
        """`get_details` with the text of the logs in place of their paths."""
        found = self.get_details()
        for name, path in found["logFiles"].items():
            with open(path, encoding="utf-8", errors="replace") as file:
                found["logFiles"][name] = file.read()
        return found

    def wait_for_completion(
        self, show_output: bool = False, wait_post_processing: bool = False, raise_on_error: bool = True
    ) -> Dict[str, Any]:
        """Wait until the run, which is another one than this process's own, has ended."""
        if os.environ.get(RUN_DIRECTORY) == self._directory.root:
            raise UserErrorException("the run %s cannot wait for its own end: leave the script" % self.id)
        while details.last_event(self._directory)["status"] not in details.TERMINAL:
            time.sleep(POLL_SECONDS)
        found = self.get_details()
        if found["status"] == "Failed" and raise_on_error:
            from toolkit.inscript.errors import ActivityFailedException

            raise ActivityFailedException(json.dumps(found["error"], indent=4))
        return found

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Nothing to do: a run is started by its target, and one that a process logs is running from the first."""

    def clean(self) -> List[str]:
        """Nothing to do: what is on the target for the run goes when it ends."""
        return []

    def complete(self, _set_status: bool = True) -> None:
        """The run is Completed. A submitted run's status comes from the exit of its process: there it does nothing."""
        self.flush()
        if details.is_logged(self._directory):
            self._end(logged_run.completed())

    def fail(
        self,
        error_details: Optional[object] = None,
        error_code: Optional[object] = None,
        _set_status: bool = True,
    ) -> None:
        """The run is Failed, for this reason. A submitted run's status comes from the exit of its process: there the
        details are kept as a property."""
        if details.is_logged(self._directory):
            self.flush()
            self._end(logged_run.failed(error_details, error_code))
            return
        if "error_details" not in self.get_properties():
            self._spool.record("property", name="error_details", value=str(error_details))
        self.flush()

    def cancel(self) -> None:
        """Cancel the run: another than this process's own, or one that this process logs."""
        if details.is_logged(self._directory):
            claim_json(self._directory.cancel, {"time": time.time(), "by": os.getpid()})
            self._end({"reason": "stopped", "code": None})
            return
        if os.environ.get(RUN_DIRECTORY) != self._directory.root:
            claim_json(self._directory.cancel, {"time": time.time(), "by": os.getpid()})
            wake_agent_of(self._directory)
            return
        warn_once(
            "cancel",
            "run.cancel() inside the run does nothing: leave the script, or `toolkit cancel %s`" % self.id,
        )

    def _end(self, record: Dict[str, Any]) -> None:
        logged_run.end(self._directory, record)
        self._announce(self._directory)


_current: Optional[Run] = None


def current(allow_offline: bool = True, offline_root: Optional[str] = None) -> "Run":
    """The run around this process; one object a process, so that steps count on."""
    global _current
    directory = os.environ.get(RUN_DIRECTORY)
    if directory and os.path.isdir(directory):
        if _current is None or _current._directory.root != directory:
            _current = Run(RunDirectory(directory))
        _follow_mlflow(_current)
        return _current
    if not allow_offline:
        raise RunEnvironmentException(
            "Could not load a submitted run, if outside of an execution context, use experiment.start_logging to "
            "initialize an azureml.core.Run. This process was not started by experiment.submit(...) (%s is not set); "
            "allow_offline=True gives an offline run that keeps what is logged" % RUN_DIRECTORY
        )
    from toolkit.inscript.offline import OfflineRun

    if not isinstance(_current, OfflineRun):
        _current = OfflineRun.begin(offline_root)
    return _current


def _follow_mlflow(run: Run) -> None:
    """Let the script's own MLflow calls land in this run, where MLflow knew it only after the start."""
    if "MLFLOW_RUN_ID" not in os.environ and "mlflow" not in sys.modules:
        tracking = read_json(run._directory.tracking, {})
        mlflow_run_id = tracking.get("mlflow_run_id") if isinstance(tracking, dict) else None
        if mlflow_run_id:
            os.environ["MLFLOW_RUN_ID"] = str(mlflow_run_id)
