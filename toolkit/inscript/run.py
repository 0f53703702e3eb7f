"""`Run` as a script sees it: what it logs goes into the run directory, in one file write a call."""

import os
import shutil
import sys
import time
from typing import Any, Dict, List, Optional

from toolkit.inscript import metrics
from toolkit.inscript.errors import RunEnvironmentException, UserErrorException
from toolkit.inscript.files import read_json
from toolkit.inscript.rundir import RUN_DIRECTORY, RunDirectory
from toolkit.inscript.spool import Spool, read_all
from toolkit.inscript.values import is_many, to_list, to_scalar, to_text, warn_once

LARGEST_STEP = 2**63 - 1  # what a database holds


class ScriptWorkspace:
    """The workspace of a submitted run, as far as a script can know it: its name."""

    def __init__(self, name: str) -> None:
        self.name = name


class ScriptExperiment:
    """The experiment of a submitted run: its name and its workspace's."""

    def __init__(self, name: str, workspace: ScriptWorkspace) -> None:
        self.name = name
        self.workspace = workspace


class Run:
    """One run. Inside a script, get it by `Run.get_context()`.

    No method that logs ever raises into the training, waits for a server or opens a connection.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._spool = Spool(directory.spool)

    @classmethod
    def get_context(cls, allow_offline: bool = True, used_for_context_manager: bool = False, **kwargs: object) -> "Run":
        """The run around this process: the submitted one, else an offline run that prints and keeps what is logged.

        Raises:
            RunEnvironmentException: outside a submitted run, with `allow_offline=False`.
        """
        return current(allow_offline)

    @property
    def id(self) -> str:
        """The run id: `<experiment>_<unix seconds>_<8 hex>`."""
        return self._directory.id

    @property
    def experiment(self) -> ScriptExperiment:
        definition = self._definition()
        workspace = ScriptWorkspace(str(definition.get("workspace", "")))
        return ScriptExperiment(str(definition.get("experiment", "")), workspace)

    @property
    def parent(self) -> "Optional[Run]":
        """The run that this one is a child of, or None."""
        parent = self._definition().get("parent")
        if not parent:
            return None
        return Run(RunDirectory(os.path.join(os.path.dirname(self._directory.root), str(parent))))

    def _definition(self) -> Dict[str, Any]:
        definition: Dict[str, Any] = read_json(self._directory.definition, {})
        return definition

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.flush()

    def __repr__(self) -> str:
        return "%s(id=%r)" % (type(self).__name__, self.id)

    # -- metrics ------------------------------------------------------------------------------------------------

    def log(self, name: str, value: object, description: str = "", step: Optional[int] = None) -> None:
        """Log one number (or text) under `name`; calling again with the same name makes a curve.

        Args:
            step: the position on the curve; by itself it counts 0, 1, 2, … for each name.
        """
        if type(value) is not float:
            if is_many(value):
                warn_once("list " + str(name), "'%s' was given several values: kept as log_list does" % name)
                self.log_list(name, value)
                return
            value = to_scalar(name, value)
        if step is not None and not (isinstance(step, int) and -LARGEST_STEP <= step <= LARGEST_STEP):
            step = _to_step(name, step)
        self._spool.metric(name if type(name) is str else str(name), value, step)

    def log_list(self, name: str, value: object, description: str = "") -> None:
        """Log a list of scalars; lists under one name are joined. An empty list stores nothing."""
        values = to_list(name, value)
        if values:
            self._spool.series("list", str(name), values, len(values))

    def log_row(self, name: str, description: Optional[str] = None, **kwargs: object) -> None:
        """Log one row of the table `name`: `log_row("fit", epoch=1, loss=0.3)`."""
        row = {column: [to_scalar("%s.%s" % (name, column), cell)] for column, cell in kwargs.items()}
        if row:
            self._spool.series("table", str(name), row, 1)

    def log_table(self, name: str, value: Any, description: str = "") -> None:
        """Log a table, `{column: [cells]}` or `{column: cell}`; rows under one name follow each other."""
        try:
            columns = {
                str(column): to_list("%s.%s" % (name, column), cells) if is_many(cells) else [to_scalar(name, cells)]
                for column, cells in value.items()
            }
        except AttributeError:
            warn_once("table " + str(name), "'%s' is not a table {column: [cells]}: its text is kept" % name)
            columns = {"value": [to_text(value)]}
        if columns:
            self._spool.series("table", str(name), columns, max(len(cells) for cells in columns.values()))

    def log_image(
        self, name: str, path: Optional[str] = None, plot: Optional[Any] = None, description: str = ""
    ) -> None:
        """Log an image: a file, or a matplotlib figure (or `pyplot` itself), stored as `<name>_<n>.png`."""
        if (path is None) == (plot is None):
            warn_once(
                "image " + str(name),
                "log_image('%s') takes a path or a plot, one of them: nothing was kept" % name,
            )
            return
        try:
            if path is not None:
                artifact = str(name) + os.path.splitext(path)[1]
                self._store(artifact, path)
            else:
                artifact = self._store_plot(str(name), plot)
        except Exception as error:
            warn_once("image " + str(name), "log_image('%s') failed: %s. The script goes on" % (name, error))
            return
        self._spool.record("image", name=str(name), value=artifact)

    def _store_plot(self, name: str, plot: Any) -> str:
        count = 0
        while os.path.exists(os.path.join(self._directory.artifacts, "%s_%d.png" % (name, count))):
            count += 1
        artifact = "%s_%d.png" % (name, count)
        target = self._artifact_path(artifact)
        staging = target + ".tmp.png"
        plot.savefig(staging, format="png")
        os.replace(staging, target)
        self._spool.record("file", name=artifact)
        return artifact

    def get_metrics(
        self,
        name: Optional[str] = None,
        recursive: bool = False,
        run_type: Optional[str] = None,
        populate: bool = False,
    ) -> Dict[str, Any]:
        """What was logged so far, in the shapes that `toolkit.inscript.metrics.collect` describes."""
        self.flush()
        return metrics.collect(read_all(self._directory.spool), name)

    # -- tags and properties --------------------------------------------------------------------------------------

    def tag(self, key: str, value: Optional[object] = None) -> None:
        """Set a tag; its value is kept as text. Setting it again changes it."""
        self._spool.record("tag", name=str(key), value="" if value is None else str(value))

    def set_tags(self, tags: Dict[str, Any]) -> None:
        for key, value in tags.items():
            self.tag(key, value)

    def remove_tags(self, tags: List[str]) -> None:
        for key in tags:
            self._spool.record("untag", name=str(key))

    def get_tags(self) -> Dict[str, str]:
        found = dict(self._definition().get("tags") or {})
        found.update(metrics.tags(read_all(self._directory.spool)))
        return found

    @property
    def tags(self) -> Dict[str, str]:
        return self.get_tags()

    def add_properties(self, properties: Dict[str, Any]) -> None:
        """Add properties, which never change again: the first value of a key stays."""
        for key, value in properties.items():
            self._spool.record("property", name=str(key), value="" if value is None else str(value))

    def get_properties(self) -> Dict[str, str]:
        found = metrics.properties(read_all(self._directory.spool))
        found.update(self._definition().get("properties") or {})
        return found

    @property
    def properties(self) -> Dict[str, str]:
        return self.get_properties()

    # -- files ----------------------------------------------------------------------------------------------------

    def upload_file(self, name: str, path_or_stream: Any, datastore_name: Optional[str] = None) -> None:
        """Keep a file, or an open binary stream, as the artifact `name` of the run. It may be replaced later.

        Raises:
            UserErrorException: no such file, or a name that leads outside the run's artifacts.
        """
        self._upload(name, path_or_stream)

    def upload_files(
        self,
        names: List[str],
        paths: List[str],
        return_artifacts: bool = False,
        timeout_seconds: Optional[int] = None,
        datastore_name: Optional[str] = None,
    ) -> None:
        """Keep each of the files `paths` as the artifact of the same place in `names`."""
        for name, path in zip(names, paths):
            self._upload(name, path)

    def upload_folder(self, name: str, path: str, datastore_name: Optional[str] = None) -> None:
        """Keep every file below the folder `path` as an artifact `name/<relative path>`."""
        if not os.path.isdir(path):
            raise UserErrorException(
                "upload_folder('%s', '%s'): there is no such folder in %s" % (name, path, os.getcwd())
            )
        for folder, _, files in os.walk(path):
            relative = os.path.relpath(folder, path)
            for file in files:
                artifact = "/".join([name] + ([] if relative == "." else relative.split(os.sep)) + [file])
                self._upload(artifact, os.path.join(folder, file))

    def _upload(self, name: str, path_or_stream: Any) -> None:
        if not hasattr(path_or_stream, "read") and not os.path.isfile(str(path_or_stream)):
            raise UserErrorException(
                "upload_file('%s', '%s'): there is no such file in %s" % (name, path_or_stream, os.getcwd())
            )
        self._artifact_name(name)
        try:
            self._store(name, path_or_stream)
        except OSError as error:
            warn_once("upload", "'%s' could not be kept: %s. The script goes on" % (name, error.strerror or error))

    def _artifact_name(self, name: str) -> str:
        parts = str(name).split("/")
        if not name or str(name).startswith("/") or ".." in parts or "\0" in str(name):
            raise UserErrorException(
                "'%s' cannot be the name of an artifact: use a relative path without '..', as in 'outputs/model.pt'"
                % name
            )
        return os.path.join(self._directory.artifacts, *[part for part in parts if part not in ("", ".")])

    def _artifact_path(self, name: str) -> str:
        path = self._artifact_name(name)
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        return path

    def _store(self, name: str, source: Any) -> None:
        target = self._artifact_path(name)
        staging = "%s.%d.tmp" % (target, os.getpid())
        try:
            if hasattr(source, "read"):
                with open(staging, "wb") as file:
                    shutil.copyfileobj(source, file)
            else:
                shutil.copyfile(str(source), staging)
            os.replace(staging, target)
        except BaseException:
            if os.path.exists(staging):
                os.unlink(staging)
            raise
        self._spool.record("file", name=name)

    # -- life -----------------------------------------------------------------------------------------------------

    def flush(self, timeout_seconds: float = 300) -> None:
        """Nothing to wait for: what was logged is in the kernel's hands. Retries what a full disk refused."""
        self._spool.flush()

    def complete(self, _set_status: bool = True) -> None:
        """Nothing to do in a submitted run: its status comes from the exit of its process."""
        self.flush()

    def fail(
        self,
        error_details: Optional[object] = None,
        error_code: Optional[object] = None,
        _set_status: bool = True,
    ) -> None:
        """Keep the details with the run; the status itself comes from the exit of the process."""
        self._spool.record("property", name="error_details", value=str(error_details))
        self.flush()

    def cancel(self) -> None:
        warn_once(
            "cancel",
            "run.cancel() inside the run does nothing: leave the script, or `toolkit cancel %s`" % self.id,
        )


def _to_step(name: str, step: Any) -> Optional[int]:
    try:
        whole = int(step)
        if -LARGEST_STEP <= whole <= LARGEST_STEP:
            return whole
    except (TypeError, ValueError, OverflowError):
        pass
    warn_once("step of " + str(name), "the step of '%s' is not a whole number of 64 bits: counted instead" % name)
    return None


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


def now() -> str:
    """The time as Azure ML writes it: ISO 8601, UTC, microseconds."""
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + (".%06dZ" % (seconds % 1 * 1e6))
