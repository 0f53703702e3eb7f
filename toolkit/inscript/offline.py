"""The offline run: outside a submitted run it prints what Azure ML SDK v1 printed, and keeps everything."""

import os
import sys
import time
from typing import Any, Dict, List, Optional

from toolkit.inscript import details, logged_run
from toolkit.inscript import run as online
from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.files import write_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.spool import Spool
from toolkit.inscript.values import warn_once

QUIET = "TOOLKIT_OFFLINE_QUIET"  # set it to silence the "Attempted to …" lines


def _unique() -> str:
    """A random UUID (version 4) as text, without the cost of importing `uuid`."""
    value = bytearray(os.urandom(16))
    value[6] = value[6] & 0x0F | 0x40
    value[8] = value[8] & 0x3F | 0x80
    text = value.hex()
    return "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])


def _say(message: str) -> None:
    if not os.environ.get(QUIET):
        print(message)


class OfflineRun(online.Run):
    """Has the whole interface of a run. What is logged is kept below `root`, for `toolkit import`."""

    @classmethod
    def begin(cls, root: Optional[str] = None, run_id: Optional[str] = None) -> "OfflineRun":
        if root is None:
            root = os.path.join(
                os.environ.get("TOOLKIT_HOME") or os.path.expanduser("~/.local/share/toolkit"), "offline"
            )
        return cls(RunDirectory(os.path.join(root, run_id or "OfflineRun_" + _unique())))

    def __init__(self, directory: RunDirectory) -> None:
        online.Run.__init__(self, directory)
        self._created = details.utc(time.time())
        self._spool = Spool(directory.spool, on_create=self._describe)  # nothing on disk before something is logged

    def _describe(self) -> None:
        parent = self.parent
        if parent is not None and not os.path.exists(parent._directory.definition):
            os.makedirs(parent._directory.root, 0o700, exist_ok=True)
            parent._describe()
        write_json(
            self._directory.definition,
            {
                "id": self.id,
                "experiment": "offline",
                "parent": parent.id if parent is not None else None,
                "script": sys.argv[0],
                "arguments": sys.argv[1:],
                "created": self._created,
                "working_directory": os.getcwd(),
            },
        )

    @property
    def experiment(self) -> Any:
        """An experiment called "offline", of the workspace that a config.json names, else of this machine's own."""
        from toolkit.inscript.workspace import offline_workspace

        return online.ScriptExperiment("offline", offline_workspace())

    @property
    def parent(self) -> "Optional[OfflineRun]":
        """The offline run that this one is a child of, or None."""
        before, _, _ = self.id.rpartition(".")
        return self._relative(before) if before else None

    def _whole(self, wanted: str) -> Any:
        raise UserErrorException(
            "%s needs a run of a workspace, and this one is offline: `toolkit import %s` takes it into one, with all "
            "that it logged" % (wanted, self.id)
        )

    def __enter__(self) -> "OfflineRun":
        _say("[START] Run %s context" % self.id)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        _say("[STOP] Run %s context" % self.id)

    def log(self, name: str, value: object, description: str = "", step: Optional[int] = None) -> None:
        _say("Attempted to log scalar metric %s:\n%s" % (name, value))
        online.Run.log(self, name, value, description, step)

    def log_list(self, name: str, value: object, description: str = "") -> None:
        _say("Attempted to log list metric %s:\n%s" % (name, value))
        online.Run.log_list(self, name, value, description)

    def log_row(self, name: str, description: Optional[str] = None, **kwargs: object) -> None:
        _say("Attempted to log row metric %s:\n%s" % (name, kwargs))
        online.Run.log_row(self, name, description, **kwargs)

    def log_table(self, name: str, value: Dict[str, Any], description: str = "") -> None:
        _say("Attempted to log table metric %s:\n%s" % (name, value))
        online.Run.log_table(self, name, value, description)

    def log_image(
        self, name: str, path: Optional[str] = None, plot: Optional[Any] = None, description: str = ""
    ) -> None:
        _say("Attempted to log image metric %s:\n%s" % (name, path if plot is None else plot))
        online.Run.log_image(self, name, path, plot, description)

    def tag(self, key: str, value: Optional[object] = None) -> None:
        _say("Attempted to add tag %s with value %s" % (key, value))
        online.Run.tag(self, key, value)

    def set_tags(self, tags: Dict[str, Any]) -> None:
        _say("Attempted to set tags %s" % (tags,))
        for key, value in tags.items():
            online.Run.tag(self, key, value)

    def add_properties(self, properties: Dict[str, Any]) -> None:
        _say("Attempted to add properties %s" % (properties,))
        online.Run.add_properties(self, properties)

    def upload_file(self, name: str, path_or_stream: Any, datastore_name: Optional[str] = None) -> None:
        _say("Attempted to track file %s at %s" % (name, path_or_stream))
        online.Run.upload_file(self, name, path_or_stream)

    def upload_files(
        self,
        names: List[str],
        paths: List[str],
        return_artifacts: bool = False,
        timeout_seconds: Optional[int] = None,
        datastore_name: Optional[str] = None,
    ) -> None:
        _say("Attempted to track files %s at %s" % (names, paths))
        online.Run.upload_files(self, names, paths)

    def upload_folder(self, name: str, path: str, datastore_name: Optional[str] = None) -> None:
        _say("Attempted to track folder %s at %s" % (name, path))
        online.Run.upload_folder(self, name, path)

    def flush(self, timeout_seconds: float = 300) -> None:
        _say("Attempted to flush run with id %s" % self.id)
        online.Run.flush(self, timeout_seconds)

    def log_confusion_matrix(self, name: str, value: Any, description: str = "") -> None:
        _say("Attempted to log confusion_matrix metric %s:\n%s" % (name, value))
        online.Run.log_confusion_matrix(self, name, value, description)

    def log_accuracy_table(self, name: str, value: Any, description: str = "") -> None:
        _say("Attempted to log accuracy_table metric %s:\n%s" % (name, value))
        online.Run.log_accuracy_table(self, name, value, description)

    def log_residuals(self, name: str, value: Any, description: Optional[str] = None) -> None:
        _say("Attempted to log residual metric %s:\n%s" % (name, value))
        online.Run.log_residuals(self, name, value)

    def log_predictions(self, name: str, value: Any, description: Optional[str] = None) -> None:
        _say("Attempted to log predictions metric %s:\n%s" % (name, value))
        online.Run.log_predictions(self, name, value)

    def complete(self, _set_status: bool = True) -> None:
        self._spool.flush()

    def fail(
        self,
        error_details: Optional[object] = None,
        error_code: Optional[object] = None,
        _set_status: bool = True,
    ) -> None:
        _say("Run %s failed with error code %s:\n%s" % (self.id, error_code, error_details))
        self._spool.record("property", name="error_details", value=str(error_details))

    def cancel(self) -> None:
        warn_once("cancel", "run.cancel() of an offline run does nothing")

    def get_status(self) -> str:
        return "Running"

    def get_detailed_status(self) -> Dict[str, str]:
        return {"status": "Running", "details": "offline"}

    def get_details(self) -> Dict[str, Any]:
        return dict(online.Run.get_details(self), status="Running", target="offline")

    def wait_for_completion(
        self, show_output: bool = False, wait_post_processing: bool = False, raise_on_error: bool = True
    ) -> Dict[str, Any]:
        """Nothing to wait for: what an offline run logs is kept as it is logged."""
        return self.get_details()

    def child_run(
        self, name: Optional[str] = None, run_id: Optional[str] = None, outputs: Optional[object] = None
    ) -> "OfflineRun":
        """Another offline run, `<id>.<name>`, inside this one."""
        directory = logged_run.child_directory(self._directory, (run_id or "").split(".")[-1] or name or _unique())
        return OfflineRun(directory)
