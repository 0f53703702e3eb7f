"""`Experiment.start_logging`: a run that this process logs itself, without a script that is submitted."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

from toolkit import snapshots
from toolkit.agent.wake import wake
from toolkit.announce import announce
from toolkit.errors import SnapshotException, UserErrorException, storage_errors
from toolkit.inscript import logged_run
from toolkit.paths import home
from toolkit.progress import bar
from toolkit.run import Run
from toolkit.snapshots import git
from toolkit.snapshots.limit import lifted
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
    definition: dict[str, Any] = {
        "experiment": experiment.name,
        "workspace": experiment.workspace.name,
        "target": LoggedTarget.name,
        "environment": {"name": "", "user_managed": True, "interpreter": sys.executable},
        "script": os.path.basename(sys.argv[0] or ""),
        "arguments": sys.argv[1:],
        "tags": {str(key): str(value) for key, value in (tags or {}).items()},
        "properties": {},
        "display_name": display_name,
        "user": user(),
        **_sources(experiment, snapshot_directory),
    }
    run_id = new_id(experiment)
    directory = paths.run(run_id)
    with storage_errors(f"cannot create the run {run_id}", paths.runs):
        definition["number"] = experiment.add_run(run_id)
        logged_run.create(directory, definition)
    wake(paths)  # first, so that an agent of another version is replaced
    announce(paths, run_id)
    run = LoggedRun(experiment, run_id, outputs)
    atexit.register(run.keep_outputs)  # before `logged_run` completes the run of a process that ends
    return run


def _sources(experiment: Experiment, folder: str | os.PathLike[str] | None) -> dict[str, Any]:
    """The snapshot of the folder that the run was started in, and its git commit; a folder too large is said."""
    if folder is None:
        return {}
    settings, paths = experiment.workspace.configuration, experiment.workspace.paths
    record = git.begin(folder)
    try:
        with bar(f"Freezing {folder}") as progress:
            frozen = snapshots.take(
                folder,
                paths.snapshots,
                limit_bytes=lifted(int(settings.snapshot_limit_mb * 1e6)),
                exclude=[home().root, paths.root],
                progress=progress,
            )
    except SnapshotException as error:
        print(
            f"toolkit: the run has no snapshot of '{folder}': {error}\nThe run goes on; "
            "start_logging(snapshot_directory=None) does without one",
            file=sys.stderr,
        )
        return {}
    commit = record.result()
    return {
        "source_directory": os.path.abspath(folder),
        "snapshot": {"id": frozen.id, "files": frozen.files, "bytes": frozen.bytes},
        "properties": commit.properties() if commit is not None else {},
    }


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
