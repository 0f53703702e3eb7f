"""`Experiment`: runs that belong together, by name."""

from __future__ import annotations

import builtins
import fcntl
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from toolkit.errors import UserErrorException, storage_errors
from toolkit.inscript.files import append_line, read_lines

if TYPE_CHECKING:
    from toolkit.run import Run
    from toolkit.script_run_config import ScriptRunConfig
    from toolkit.workspace import Workspace


class Experiment:
    """An experiment of a workspace. It comes into being with its first run.

    Raises:
        UserErrorException: a name that Azure ML SDK v1 refuses as well.
    """

    def __init__(self, workspace: Workspace, name: str, **kwargs: object) -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][\w-]{0,254}", name, re.ASCII):
            raise UserErrorException(
                f"'{name}' cannot be the name of an experiment: it must be 1 to 255 characters, start with a letter or "
                "a number, and hold nothing but letters, numbers, hyphens and underscores, no whitespace"
            )
        self.workspace = workspace
        self.name = name

    @staticmethod
    def list(workspace: Workspace, experiment_name: str | None = None, **_: object) -> builtins.list[Experiment]:
        """The experiments of the workspace that have runs, by name."""
        try:
            names = sorted(entry.name for entry in workspace.paths.experiments.iterdir() if entry.is_dir())
        except FileNotFoundError:
            names = []
        return [Experiment(workspace, name) for name in names if experiment_name in (None, name)]

    def submit(self, config: ScriptRunConfig, tags: dict[str, str] | None = None, **kwargs: Any) -> Run:
        """Run the script of `config` on its compute target. Returns at once; the run goes on without this process.

        Args:
            tags: tags of the run, text by text.

        Raises:
            UserErrorException: something in `config` cannot work; nothing was written.
            SnapshotException: `source_directory` is too large.
            StorageError: the disk is full or read-only.
        """
        from toolkit.submit import submit

        if hasattr(config, "submit_to"):  # what is more than one script: a sweep, say
            run: Run = config.submit_to(self, tags or {})
            return run
        return submit(self, config, tags or {})

    def get_runs(
        self, type: str | None = None, tags: object = None, properties: object = None, include_children: bool = False
    ) -> Iterator[Run]:
        """The runs of the experiment, the newest first.

        Args:
            type: a run type, as `Run.type` says.
            tags, properties: one that a run must have, or several by name with their values.
        """
        from toolkit.run import Run

        for run_id in reversed(self.run_ids()):
            if not os.path.exists(self.workspace.paths.run(run_id).definition):
                continue  # its submit was ended in the middle
            run = Run(self, run_id)
            if type not in (None, run.type):
                continue
            if (not tags or _has(run.get_tags(), tags)) and (not properties or _has(run.get_properties(), properties)):
                yield run

    def run_ids(self) -> builtins.list[str]:
        """The ids of the runs, the oldest first; a run's number is its place from 1."""
        return read_lines(str(self.workspace.paths.experiment_runs(self.name)))

    def add_run(self, run_id: str) -> int:
        """Give a new run its place in the experiment: its number, from 1."""
        index = self.workspace.paths.experiment_runs(self.name)
        with storage_errors("cannot add the run", index):
            index.parent.mkdir(parents=True, exist_ok=True)
            with (index.parent / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                append_line(str(index), run_id)
                return len(self.run_ids())

    def import_offline_run(self, run_id: str) -> Run:
        """Take a run that was logged offline into this experiment (see `Run.get_context`).

        Raises:
            UserErrorException: there is no such offline run, or it was imported already.
        """
        from toolkit.submit import import_offline_run

        return import_offline_run(self, run_id)

    def get_portal_url(self) -> str:
        """The URL of the experiment in the MLflow UI; the server is started if it does not run."""
        from toolkit.portal import experiment_url

        return experiment_url(self)

    def __repr__(self) -> str:
        return f"Experiment(workspace={self.workspace.name!r}, name={self.name!r})"


def _has(found: dict[str, str], wanted: object) -> bool:
    """Whether `found` has the key `wanted`, or all keys of the dictionary `wanted` with their values."""
    pairs = wanted if isinstance(wanted, dict) else {wanted: None}
    return all(key in found and value in (None, found[key]) for key, value in pairs.items())
