"""`Run` as a script sees it: what it logs goes into the run directory, in one file write a call."""

import json
import os
import shutil
import sys
import time
from typing import Any, Dict, Iterator, List, Optional

from toolkit.inscript import details, logged_run, metrics
from toolkit.inscript.errors import RunEnvironmentException, UserErrorException
from toolkit.inscript.files import claim_json, is_within, read_json
from toolkit.inscript.registering import RegistersModels
from toolkit.inscript.run_metrics import RunMetrics
from toolkit.inscript.rundir import RUN_DIRECTORY, RunDirectory
from toolkit.inscript.spool import read_all
from toolkit.inscript.values import warn_once
from toolkit.inscript.wake import wake_agent_of

POLL_SECONDS = 0.05
MOST_CHILDREN = 10000  # in one call of create_children


class ScriptExperiment:
    """The experiment of a submitted run: its name and its workspace."""

    def __init__(self, name: str, workspace: Any) -> None:
        self.name = name
        self.workspace = workspace

    def __repr__(self) -> str:
        return "Experiment(workspace=%r, name=%r)" % (self.workspace.name, self.name)


class Run(RunMetrics, RegistersModels):
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
    def id(self) -> str:
        """The run id: `<experiment>_<unix seconds>_<8 hex>`."""
        return self._directory.id

    @property
    def experiment(self) -> Any:
        """The experiment of the run: its `name` and its `workspace`."""
        from toolkit.inscript.workspace import ScriptWorkspace

        return ScriptExperiment(str(self._definition().get("experiment", "")), ScriptWorkspace())

    @property
    def type(self) -> Optional[str]:
        """What kind of run it is: "azureml.scriptrun", "hyperdrive", … None for one that was not submitted."""
        kind = self._definition().get("type")
        return str(kind) if kind else None

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

    def _definition(self) -> Dict[str, Any]:
        definition: Dict[str, Any] = read_json(self._directory.definition, {})
        return definition

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

    # -- its family -----------------------------------------------------------------------------------------------

    @property
    def parent(self) -> "Optional[Run]":
        """The run that this one is a child of, or None."""
        parent = self._definition().get("parent")
        return self._relative(str(parent)) if parent else None

    def _relative(self, run_id: str) -> "Run":
        """Another run of the workspace, of this one's kind."""
        return Run(directory_of(self._directory, run_id))

    def child_run(
        self, name: Optional[str] = None, run_id: Optional[str] = None, outputs: Optional[object] = None
    ) -> "Run":
        """A new child that this process logs: it is running at once, until `complete()`, `fail()` or the process ends.

        Args:
            name: its display name.
            run_id: the end of its id, which begins with this run's; random by default.
        """
        if run_id and run_id.startswith(self.id):
            run_id = run_id[len(self.id) :].lstrip("._-")
        directory = logged_run.child_directory(self._directory, run_id or None)
        if os.path.exists(directory.root):
            raise UserErrorException(
                "the run %s has a child '%s' already: use another run_id" % (self.id, directory.id)
            )
        mine = self._definition()
        definition = {
            "experiment": mine.get("experiment"),
            "workspace": mine.get("workspace"),
            "parent": self.id,
            "target": "sdk",
            "environment": mine.get("environment"),
            "snapshot": mine.get("snapshot"),
            "user": mine.get("user"),
        }
        if name:
            definition["display_name"] = str(name)
        logged_run.create(directory, definition)
        self._announce(directory)
        return self._relative(directory.id)

    def create_children(
        self, count: Optional[int] = None, tag_key: Optional[str] = None, tag_values: Optional[List[Any]] = None
    ) -> "List[Run]":
        """Several children at once: `count` of them, or one for each of `tag_values`, which has it as its tag.

        Raises:
            UserErrorException: neither or both of `count` and the two for tags.
        """
        if (count is None) == (tag_key is None) or (tag_key is None) != (tag_values is None):
            raise UserErrorException("create_children takes a count, or a tag_key with tag_values")
        values = list(tag_values) if tag_values is not None else [None] * int(count or 0)
        if len(values) > MOST_CHILDREN:
            raise UserErrorException("create_children makes at most %d runs in one call" % MOST_CHILDREN)
        made = []
        for value in values:
            child = self.child_run()
            if tag_key is not None:
                child.tag(tag_key, value)
            made.append(child)
        return made

    def submit_child(self, config: Any, tags: Optional[Dict[str, str]] = None, **kwargs: Any) -> Any:
        """Submit a child run from inside this one. The script's environment needs the whole toolkit for that."""
        try:
            from toolkit.workspace import Workspace
        except ImportError:
            raise UserErrorException(
                "run.submit_child(...) inside a run needs the whole toolkit, which the script's environment does not "
                "have: add it to the pip section of the environment, or submit the children from the control script"
            )
        run = Workspace.get(os.path.basename(self._directory.workspace)).get_run(self.id)
        return run.submit_child(config, tags, **kwargs)

    def get_children(
        self,
        recursive: bool = False,
        tags: Optional[Any] = None,
        properties: Optional[Any] = None,
        type: Optional[str] = None,
        status: Optional[str] = None,
        _rehydrate_runs: bool = True,
    ) -> "Iterator[Run]":
        """The children of the run, the newest first; with `recursive`, theirs as well.

        Args:
            tags, properties: one that a run must have, or several by name with their values.
            type: a run type, as `Run.type` says.
            status: a status, as "Completed".
        """
        for run_id in reversed(logged_run.children(self._directory)):
            child = self._relative(run_id)
            if not os.path.exists(child._directory.definition):
                continue  # being made, or in a place that this process cannot see
            if (
                type in (None, child.type)
                and status in (None, child.get_status())
                and (not tags or matches(child.get_tags(), tags))
                and (not properties or matches(child.get_properties(), properties))
            ):
                yield child
            if recursive:
                for grandchild in child.get_children(True, tags, properties, type, status):
                    yield grandchild

    def get_metrics(
        self,
        name: Optional[str] = None,
        recursive: bool = False,
        run_type: Optional[str] = None,
        populate: bool = False,
    ) -> Dict[str, Any]:
        """What was logged so far, in the shapes that `toolkit.inscript.metrics.collect` describes.

        Args:
            recursive: `{run id: metrics}` of this run and all its descendants.
            run_type: of runs of this type only.
            populate: put in the content of confusion matrices and the like, in place of their artifacts' names.
        """
        self.flush()
        if not recursive:
            return self._metrics(name, populate) if run_type in (None, self.type) else {}
        family = [self] + list(self.get_children(recursive=True))
        return {run.id: run._metrics(name, populate) for run in family if run_type in (None, run.type)}

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

    # -- its files ------------------------------------------------------------------------------------------------

    def get_file_names(self) -> List[str]:
        """The files of the run: `azureml-logs/…`, `logs/…`, `outputs/…` and what was uploaded."""
        return [name for name, _ in details.files(self._directory)]

    def download_file(
        self, name: str, output_file_path: Optional[str] = None, _validate_checksum: bool = False
    ) -> None:
        """Copy a file of the run to `output_file_path` (a file or an existing folder; default the current folder).

        Raises:
            UserErrorException: the run has no such file; the message says which it has.
        """
        files = dict(details.files(self._directory))
        if name not in files:
            shown = ", ".join(list(files)[:50]) + (" and %d more" % (len(files) - 50) if len(files) > 50 else "")
            raise UserErrorException(
                "Cannot find the artifact '%s' in container 'dcid.%s'; it has: %s" % (name, self.id, shown or "none")
            )
        target = output_file_path or os.path.basename(name)
        if os.path.isdir(target) or target.endswith(("/", os.sep)):
            target = os.path.join(target, os.path.basename(name))
        os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
        shutil.copyfile(files[name], target)

    def download_files(
        self,
        prefix: Optional[str] = None,
        output_directory: Optional[str] = None,
        output_paths: Optional[List[str]] = None,
        batch_size: int = 100,
        append_prefix: bool = True,
        timeout_seconds: Optional[float] = None,
    ) -> None:
        """Copy the files whose names start with `prefix` below `output_directory`."""
        root = output_directory or "."
        names = [name for name in self.get_file_names() if name.startswith(prefix or "")]
        for index, name in enumerate(names):
            kept = name if append_prefix else name[len(prefix or "") :].lstrip("/") or os.path.basename(name)
            target = os.path.join(root, output_paths[index] if output_paths else kept)
            if is_within(root, target) or output_paths:
                self.download_file(name, target)

    def get_all_logs(self, destination: Optional[str] = None) -> List[str]:
        """Copy the run's logs to a folder (default: a folder named like the run). Returns their paths."""
        root = destination or os.path.join(".", self.id)
        names = [name for name in self.get_file_names() if name.startswith(("azureml-logs/", "logs/"))]
        for name in names:
            self.download_file(name, os.path.join(root, name))
        return [os.path.join(root, name) for name in names]

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Nothing to do: a run is started by its target, and one that a process logs is running from the first."""

    def clean(self) -> List[str]:
        """Nothing to do: what is on the target for the run goes when it ends."""
        return []

    def flush(self, timeout_seconds: float = 300) -> None:
        """Nothing to wait for: what was logged is in the kernel's hands. Retries what a full disk refused."""
        self._spool.flush()

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

    def _announce(self, directory: RunDirectory) -> None:
        """Let the agent know that there is news of a logged run."""
        wake_agent_of(directory.outermost)


def directory_of(relative: RunDirectory, run_id: str) -> RunDirectory:
    """The run directory of any run of the workspace that `relative` is in."""
    return RunDirectory(logged_run.path_of(os.path.dirname(relative.outermost.root), run_id))


def matches(found: Dict[str, str], wanted: Any) -> bool:
    """Whether `found` has the key `wanted`, or all keys of the dictionary `wanted` with their values."""
    pairs = wanted if isinstance(wanted, dict) else {wanted: None}
    return all(key in found and (value is None or found[key] == str(value)) for key, value in pairs.items())


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
