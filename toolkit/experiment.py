"""`Experiment`: runs that belong together, by name."""

from __future__ import annotations

import builtins
import os
import re
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import experiment_index
from toolkit.errors import StorageError, TrackingError, UserErrorException, storage_errors
from toolkit.inscript.details import utc
from toolkit.inscript.files import read_json, write_json
from toolkit.inscript.run_family import matches
from toolkit.inscript.values import warn_once

if TYPE_CHECKING:
    from toolkit.run import Run
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
        if not hasattr(workspace, "paths"):
            given = f"{type(workspace).__name__} {workspace!r}"
            raise UserErrorException(
                f"Experiment(workspace, name) takes a Workspace first, not the {given}: Workspace.from_config() has one"
            )
        self.workspace = workspace
        self.name = name

    @staticmethod
    def list(
        workspace: Workspace,
        experiment_name: str | None = None,
        view_type: str = "ActiveOnly",
        tags: object = None,
    ) -> builtins.list[Experiment]:
        """The experiments of the workspace that have runs, by name.

        Args:
            experiment_name: this one only.
            view_type: "ActiveOnly", "ArchivedOnly" or "All".
            tags: one that an experiment must have, or several by name with their values.
        """
        wanted = {"ActiveOnly": (False,), "ArchivedOnly": (True,), "All": (False, True)}
        if view_type not in wanted:
            raise UserErrorException(f"view_type is {view_type!r}; it can be {', '.join(wanted)}")
        try:
            names = sorted(entry.name for entry in workspace.paths.experiments.iterdir() if entry.is_dir())
        except FileNotFoundError:
            names = []
        found = [Experiment(workspace, name) for name in names if experiment_name in (None, name)]
        return [
            experiment
            for experiment in found
            if not experiment._record.get("deleted")
            and (experiment.archived_time is not None) in wanted[view_type]
            and (not tags or matches(experiment.tags, tags))
        ]

    @staticmethod
    def delete(workspace: Workspace, experiment_id: str) -> None:
        """Take an experiment, by its id or name, out of all lists, here and in MLflow; its files stay where they are.

        Submitting to its name brings it back.

        Raises:
            UserErrorException: there is no such experiment, or it has runs that go on.
        """
        from toolkit.agent import experiments

        every = Experiment.list(workspace, view_type="All")
        found = [experiment for experiment in every if experiment_id in (experiment.id, experiment.name)]
        if not found:
            names = ", ".join(experiment.name for experiment in every) or "none"
            raise UserErrorException(f"there is no experiment '{experiment_id}'; the workspace has: {names}")
        experiment = found[0]
        going = [run_id for run_id in experiment.run_ids() if (workspace.paths.active / run_id).exists()]
        if going:
            raise UserErrorException(
                f"the experiment '{experiment.name}' has runs that go on, {', '.join(going[:5])}: cancel them first"
            )
        experiments.delete(workspace.paths, experiment.name)
        experiment._change(deleted=time.time())

    @staticmethod
    def from_directory(path: str | os.PathLike[str], auth: object = None) -> Experiment:
        """The experiment of a project folder: called like the folder, in the workspace that its config.json names."""
        from toolkit.workspace import Workspace

        return Experiment(Workspace.from_config(path), os.path.basename(os.path.abspath(path)))

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The id of the experiment: it stays the same for a name in a workspace."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.workspace.name}/{self.name}"))

    @property
    def workspace_object(self) -> Workspace:
        return self.workspace

    @property
    def archived_time(self) -> str | None:
        """When it was archived, or None."""
        return utc(self._record.get("archived"))

    @property
    def tags(self) -> dict[str, str]:
        return dict(self._record.get("tags") or {})

    def tag(self, key: str, value: object = None) -> None:
        """Set a tag of the experiment."""
        self.set_tags({key: value})

    def set_tags(self, tags: dict[str, Any]) -> None:
        """Set tags of the experiment; those that are not named stay."""
        new = {str(key): "" if value is None else str(value) for key, value in tags.items()}
        self._change(tags={**self.tags, **new})

    def remove_tags(self, tags: builtins.list[str]) -> None:
        gone = [tags] if isinstance(tags, str) else tags
        self._change(tags={key: value for key, value in self.tags.items() if key not in gone})

    def archive(self) -> None:
        """Put the experiment away: it is not listed, and takes no runs, until `reactivate()`."""
        self._change(archived=time.time())

    def reactivate(self, new_name: str | None = None) -> None:
        """Take the experiment back from the archive.

        Raises:
            UserErrorException: a `new_name`: the name is in the ids of its runs.
        """
        if new_name not in (None, self.name):
            raise UserErrorException(f"the experiment '{self.name}' keeps its name: it is in the ids of its runs")
        self._change(archived=None)

    def refresh(self) -> None:
        """Nothing to do: what an experiment says is what is there now."""

    def _refuse_where_archived(self) -> None:
        if self.archived_time is not None:
            raise UserErrorException(
                f"the experiment '{self.name}' is archived and takes no runs: experiment.reactivate() takes it back"
            )
        if self._record.get("deleted"):
            self._change(deleted=None)

    @property
    def _record(self) -> dict[str, Any]:
        """What is kept of the experiment beside its runs."""
        record: dict[str, Any] = read_json(str(self._file), {})
        return record

    @property
    def _file(self) -> Path:
        return self.workspace.paths.experiments / self.name / "experiment.json"

    def _change(self, **values: object) -> None:
        with storage_errors("cannot change the experiment", self._file):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_json(str(self._file), {**self._record, **values})

    # -- its runs -------------------------------------------------------------------------------------------------

    def submit(
        self,
        config: Any,
        tags: dict[str, str] | None = None,
        show_output: bool = False,
        run_id: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run what `config` says on its compute target. Returns at once; the run goes on without this process.

        Args:
            config: a `ScriptRunConfig`, an estimator, or a `HyperDriveConfig`.
            tags: tags of the run, text by text.
            show_output: print the logs, and return when the run has ended.
            run_id: the id of the run; by default it is made from the experiment's name and the time.

        Returns:
            The `Run`; a `HyperDriveRun` for a sweep.

        Raises:
            UserErrorException: something in `config` cannot work; nothing was written.
            SnapshotException: `source_directory` is too large.
            StorageError: the disk is full or read-only.
        """
        from toolkit.submit import submit

        self._refuse_where_archived()
        if os.environ.get("TOOLKIT_DRY_RUN"):
            from toolkit import dry_run

            print(dry_run.plan(self, config), end="")
            raise SystemExit(0)
        run = submit(self, config, tags or {}, run_id=run_id)
        if show_output:
            run.wait_for_completion(show_output=True)
        return run

    def start_logging(
        self,
        outputs: str | None = None,
        snapshot_directory: str | os.PathLike[str] | None = ".",
        display_name: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Run:
        """Start a run that this process logs itself, in a notebook say. End it with `complete()` or `fail()`.

        It is running at once. `with experiment.start_logging() as run:` completes it, or fails it where the block
        raises. A process that ends completes its runs; one that is killed leaves them Failed.

        Args:
            outputs: a folder whose files are kept as `outputs/…` when the run ends.
            snapshot_directory: the folder that is frozen as the run's sources; None for none.
            display_name: what people call the run.
            tags: tags of the run.
        """
        from toolkit.start_logging import start_logging

        self._refuse_where_archived()
        return start_logging(self, outputs, snapshot_directory, display_name, tags)

    def get_runs(
        self,
        type: str | None = None,
        tags: object = None,
        properties: object = None,
        include_children: bool = False,
        status: str | None = None,
    ) -> Iterator[Run]:
        """The runs of the experiment, the newest first: found as they are asked for, so the first come at once.

        Args:
            type: a run type, as `Run.type` says.
            tags, properties: one that a run must have, or several by name with their values.
            include_children: also runs that are children of others.
            status: a status, as "Completed".
        """
        from toolkit import catalog
        from toolkit.run import Run

        if "mlflow" in sys.modules:  # this process may have made runs with MLflow itself
            self._adopt_runs_of_mlflow()
        for run_id in catalog.find_runs(
            self.workspace.paths, self.name, type, tags, properties, status, include_children=include_children
        ):
            yield Run.get(self.workspace, run_id)

    def _adopt_runs_of_mlflow(self) -> None:
        """Take up what was made with MLflow itself; where it cannot be reached, the runs that are here are listed."""
        from toolkit.agent.adoption import adopt

        paths = self.workspace.paths
        if read_json(str(paths.agent / "tracker.json"), {}).get("unreachable"):
            return
        try:
            adopt(paths, self.name)
        except (TrackingError, StorageError) as error:
            warn_once("adoption", f"runs that were made with MLflow itself are not listed: {error}")

    def run_ids(self) -> builtins.list[str]:
        """The ids of the runs, the oldest first; a run's number is its place from 1."""
        return [*experiment_index.numbers(self.workspace.paths, self.name)]

    def add_run(self, run_id: str) -> int:
        """Give a new run its place in the experiment: its number, from 1."""
        return experiment_index.add(self.workspace.paths, self.name, run_id)

    def import_offline_run(self, run_id: str) -> Run:
        """Take a run that was logged offline into this experiment (see `Run.get_context`).

        Raises:
            UserErrorException: there is no such offline run, or it was imported already.
        """
        from toolkit.submit import import_offline_run

        return import_offline_run(self, run_id)

    @classmethod
    def get_docs_url(cls) -> str:
        return ""

    @property
    def portal_url(self) -> str:
        return self.get_portal_url()

    def get_portal_url(self) -> str:
        """The URL of the experiment in the MLflow UI; the server is started if it does not run."""
        from toolkit.portal import experiment_url

        return experiment_url(self)

    def __repr__(self) -> str:
        return f"Experiment(workspace={self.workspace.name!r}, name={self.name!r})"
