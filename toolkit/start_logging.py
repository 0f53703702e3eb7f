"""`Experiment.start_logging`: a run that this process logs itself, without a script that is submitted."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import sources
from toolkit.agent.wake import wake
from toolkit.announce import announce
from toolkit.errors import SnapshotException, UserErrorException, storage_errors
from toolkit.inscript import logged_run
from toolkit.run import Run
from toolkit.sources import Sources
from toolkit.targets.logged import LoggedTarget

if TYPE_CHECKING:
    from toolkit.experiment import Experiment


def start_logging(
    experiment: Experiment,
    outputs: str | None = None,
    snapshot_directory: str | os.PathLike[str] | None = ".",
    display_name: str | None = None,
    tags: dict[str, Any] | None = None,
) -> Run:
    """Start a run that is logged by this process: see `Experiment.start_logging`."""
    from toolkit.submit import new_id, user

    if outputs is not None and os.path.isabs(outputs) and not os.path.isdir(outputs):
        raise UserErrorException(f"start_logging(outputs='{outputs}'): there is no such folder")
    paths = experiment.workspace.paths
    frozen = _frozen(experiment, snapshot_directory)
    definition: dict[str, Any] = {
        **frozen.record,
        "experiment": experiment.name,
        "workspace": experiment.workspace.name,
        "target": LoggedTarget.name,
        "environment": {"name": "", "user_managed": True, "interpreter": sys.executable},
        "script": os.path.basename(sys.argv[0] or ""),
        "arguments": sys.argv[1:],
        "tags": {str(key): str(value) for key, value in (tags or {}).items()},
        "properties": frozen.properties,
        "display_name": display_name,
        "user": user(),
    }
    run_id = new_id(experiment)
    directory = paths.run(run_id)
    with storage_errors(f"cannot create the run {run_id}", paths.runs):
        definition["number"] = experiment.add_run(run_id)
        logged_run.create(directory, definition)
        if frozen.diff:
            Path(directory.git_diff).write_bytes(frozen.diff)
    wake(paths)  # first, so that an agent of another version is replaced
    announce(paths, run_id)
    run = LoggedRun(experiment, run_id, outputs)
    atexit.register(run.keep_outputs)  # before `logged_run` completes the run of a process that ends
    return run


def _frozen(experiment: Experiment, folder: str | os.PathLike[str] | None) -> Sources:
    """The sources of the run: the folder that it was started in. One that is too large is said, and left out."""
    if folder is None:
        return Sources({}, {}, b"")
    try:
        return sources.freeze(experiment.workspace, folder)
    except SnapshotException as error:
        print(
            f"toolkit: the run has no snapshot of '{folder}': {error}\nThe run goes on; "
            "start_logging(snapshot_directory=None) does without one",
            file=sys.stderr,
        )
        return Sources({}, {}, b"")


class LoggedRun(Run):
    """A run that this process logs; when it ends, the files of its `outputs` folder are kept as `outputs/…`."""

    def __init__(self, experiment: Experiment, run_id: str, outputs: str | None = None) -> None:
        super().__init__(experiment, run_id)
        self._outputs = os.path.abspath(outputs) if outputs is not None else None

    def keep_outputs(self) -> None:
        """Copy the files of the `outputs` folder to the run, unless that has ended."""
        if self._outputs is not None and os.path.isdir(self._outputs) and not os.path.exists(self.directory.exit):
            with storage_errors("cannot keep the outputs of the run", self.directory.outputs):
                shutil.copytree(self._outputs, self.directory.outputs, dirs_exist_ok=True)

    def _end(self, record: dict[str, Any]) -> None:
        self.keep_outputs()
        super()._end(record)
