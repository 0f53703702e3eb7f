"""`Run` as a control script sees it: submitted, watched, cancelled, read."""

from __future__ import annotations

import builtins
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import experiment_index, portal, stream
from toolkit.agent import wake as agent
from toolkit.announce import AnnouncedSpool, announce
from toolkit.errors import ActivityFailedException, ExperimentExecutionException, TrackingError, UserErrorException
from toolkit.inscript import details, logged_run
from toolkit.inscript import run as inscript_run
from toolkit.inscript.files import claim_json, read_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.values import warn_once
from toolkit.paths import home
from toolkit.phases import seconds_of_phases
from toolkit.progress import spinner
from toolkit.status import FAILED, QUEUED, RUNNING, TERMINAL, Event
from toolkit.targets.engine_state import EngineState

if TYPE_CHECKING:
    from toolkit.environment import Environment
    from toolkit.experiment import Experiment
    from toolkit.inscript.model import Model
    from toolkit.workspace import Workspace

POLL_SECONDS = 0.05
QUIET_SECONDS = 3.0  # a run that is watched may wait this long before it is said what for


class Run(inscript_run.Run):
    """A run of an experiment. `Run.get_context()` inside a script, `Experiment.submit` outside.

    Args:
        experiment: the experiment of the run.
        run_id: its id.

    Raises:
        UserErrorException: the experiment has no such run.
    """

    def __init__(self, experiment: Experiment, run_id: str, outputs: object = None, **kwargs: object) -> None:
        directory = _directory_of(experiment.workspace, run_id)
        super().__init__(directory)
        self._spool = AnnouncedSpool(directory.spool, experiment.workspace.paths, run_id)
        self.directory = directory
        self._experiment = experiment
        self._event: Event | None = None
        self._finishing = False  # the agent has still to do with it

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

        directory = _directory_of(workspace, run_id)
        definition = read_json(directory.definition)
        experiment = Experiment(workspace, definition["experiment"])
        if definition.get("type") == "hyperdrive":
            from toolkit.sweeps import HyperDriveRun

            return HyperDriveRun(experiment, run_id)
        return Run(experiment, run_id)

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def experiment(self) -> Any:
        """The `Experiment` of the run."""
        return self._experiment

    @property
    def number(self) -> int:
        """The number of the run in its experiment, from 1; 0 for a child that the agent has not seen yet."""
        known = experiment_index.numbers(self._experiment.workspace.paths, self._experiment.name)
        return known.get(self.id, 0)

    def get_environment(self) -> Environment:
        """The environment that the run was submitted with."""
        from toolkit.environment import Environment

        environment = self._definition()["environment"]
        return Environment.get(self._experiment.workspace, environment["name"], environment.get("version"))

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
        engine = EngineState.of(self.directory) if event.status in (QUEUED, RUNNING) else None
        says = engine is not None and (engine.id or event.status == QUEUED)
        return {"status": event.status, "details": str(engine) if says else event.reason}

    def _refresh(self) -> Event:
        if self._event is None or self._event.status not in TERMINAL or self._finishing:
            self._event = Event(**details.last_event(self.directory))
            paths = self._experiment.workspace.paths
            self._finishing = (paths.active / self.id).exists()
            if self._finishing or self._event.status not in TERMINAL:
                agent.keep_running(paths)
        return self._event

    def _ended(self) -> bool:
        return self._refresh().status in TERMINAL

    def get_details(self) -> dict[str, Any]:
        """What is known of the run, under the keys that Azure ML SDK v1 had; and its `phases` and `environment`."""
        self._refresh()
        found = super().get_details()
        return {**found, "phases": seconds_of_phases(self.directory), "environment": self._environment_facts()}

    def _environment_facts(self) -> dict[str, Any]:
        """What the run got for its environment: interpreter, image, lock, torch variant, substitutions."""
        record = read_json(self.directory.environment, {})
        lock = record.get("lock") or {}
        facts = {name: record.get(key) for name, key in (("interpreter", "python"), ("image", "image"))}
        facts["lock_hash"] = record.get("lock_hash")
        facts.update({key: lock.get(key) for key in ("torch", "substitutions", "notices")})
        return {key: value for key, value in facts.items() if value}

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
        found = self.get_details()
        if show_output:
            self._show_summary(found)
        if found["status"] == FAILED and raise_on_error:
            raise ActivityFailedException(json.dumps(found["error"], indent=4, ensure_ascii=False))
        return found

    def _show_output(self) -> None:
        print(f"RunId: {self.id}")
        print(f"Web View: {self._url_or_reason()}\n", flush=True)
        since = time.monotonic()

        def ended() -> bool:
            over = self._ended()
            if self.status == QUEUED and time.monotonic() - since > QUIET_SECONDS:
                reason = self.get_detailed_status()["details"]
                warn_once(f"queued {self.id}", f"{self.id} is queued: {reason} (`toolkit runs` lists what goes on)")
            return over

        stream.print_logs(self.directory, ended, sys.stdout)

    def _show_summary(self, found: dict[str, Any]) -> None:
        print("Execution Summary\n=================")
        print(f"RunId: {self.id}\nStatus: {found['status']}")
        if "error" in found:
            print(f"Error: {found['error']['error']['message']}")
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
        """Ask for the end of the run: its whole process tree gets TERM and, after a grace, KILL. Returns at once.

        Its children, which were submitted or logged as such, end with it.
        """
        if self._ended():
            return
        if details.is_logged(self.directory):
            super().cancel()
            return
        self._ask_for_its_end()

    def _ask_for_its_end(self, **why: Any) -> None:
        claim_json(self.directory.cancel, {"time": time.time(), "by": os.getpid(), **why})
        agent.wake(self._experiment.workspace.paths)

    def fail(self, error_details: object = None, error_code: object = None, _set_status: bool = True) -> None:
        """The run is Failed, for this reason. A submitted one that goes on is ended, and waited for."""
        if details.is_logged(self.directory) or self._ended():
            super().fail(error_details, error_code, _set_status)
            return
        message = "run.fail() was called" if error_details is None else error_details
        self._ask_for_its_end(failed=logged_run.failed(message, error_code))
        while not self._ended():
            time.sleep(POLL_SECONDS)

    def _announce(self, directory: RunDirectory) -> None:
        announce(self._experiment.workspace.paths, directory.id)

    # -- its family -----------------------------------------------------------------------------------------------

    def _relative(self, run_id: str) -> Run:
        return Run.get(self._experiment.workspace, run_id)

    def get_children(
        self,
        recursive: bool = False,
        tags: object = None,
        properties: object = None,
        type: str | None = None,
        status: str | None = None,
        _rehydrate_runs: bool = True,
    ) -> Iterator[Run]:
        """The children of the run, the newest first; with `recursive`, theirs as well: see `Experiment.get_runs`."""
        from toolkit import catalog

        workspace = self._experiment.workspace
        for run_id in catalog.find_runs(
            workspace.paths, None, type, tags, properties, status, parent=self.id, include_children=recursive
        ):
            yield Run.get(workspace, run_id)

    def get_metrics(
        self, name: str | None = None, recursive: bool = False, run_type: str | None = None, populate: bool = False
    ) -> dict[str, Any]:
        if not recursive or populate:
            return super().get_metrics(name, recursive, run_type, populate)
        from toolkit import catalog

        self.flush()
        paths = self._experiment.workspace.paths
        descendants = catalog.find_runs(paths, type=run_type, parent=self.id, include_children=True)
        family = ([self.id] if run_type in (None, self.type) else []) + [*descendants]
        found = catalog.metrics_of(paths, family)
        if name is None:
            return found
        return {run_id: {key: value for key, value in one.items() if key == name} for run_id, one in found.items()}

    def child_run(self, name: str | None = None, run_id: str | None = None, outputs: object = None) -> Run:
        child: Run = super().child_run(name, run_id, outputs)
        experiment_index.add(self._experiment.workspace.paths, self._experiment.name, child.id)
        return child

    def submit_child(
        self, config: Any, tags: dict[str, str] | None = None, show_output: bool = False, **kwargs: Any
    ) -> Run:
        """Submit `config` as a child of this run, in the same experiment; it is cancelled when this run is.

        Raises:
            UserErrorException: something in `config` cannot work; nothing was written.
        """
        from toolkit.submit import submit

        child: Run = submit(self._experiment, config, tags or {}, parent=self.id)
        if show_output:
            child.wait_for_completion(show_output=True)
        return child

    @staticmethod
    def list(
        experiment: Experiment,
        type: str | None = None,
        tags: object = None,
        properties: object = None,
        status: str | None = None,
        include_children: bool = False,
        _rehydrate_runs: bool = True,
    ) -> Iterator[Run]:
        """The runs of an experiment, the newest first: see `Experiment.get_runs`."""
        return experiment.get_runs(type, tags, properties, include_children, status)

    @staticmethod
    def list_by_compute(
        compute: Any,
        type: str | None = None,
        tags: object = None,
        properties: object = None,
        status: str | None = None,
    ) -> Iterator[Run]:
        """The runs of a compute target, the newest first."""
        for experiment in compute.workspace.experiments.values():
            for run in experiment.get_runs(type, tags, properties, True, status):
                if run._definition().get("target") == compute.name:
                    yield run

    @staticmethod
    def add_type_provider(runtype: str, run_factory: Callable[[Experiment, Any, builtins.list[Any]], Run]) -> None:
        """Nothing to do: the toolkit knows the types of its runs."""

    # -- what it left ---------------------------------------------------------------------------------------------

    def restore_snapshot(self, snapshot_id: str | None = None, path: str | None = None) -> str:
        """Write the sources of the run to a folder that is empty or new (default: one named like the snapshot).

        Returns:
            The folder.

        Raises:
            UserErrorException: the run has no sources, or the folder has something in it.
        """
        from toolkit.snapshots import restore

        wanted = snapshot_id or self.get_snapshot_id()
        if wanted is None:
            raise UserErrorException(f"the run {self.id} has no snapshot: nothing was frozen for it")
        folder = Path(path or wanted)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserErrorException(f"restore_snapshot needs a folder that is empty or new, and '{folder}' is not")
        restore(self._experiment.workspace.paths.snapshots, wanted, folder)
        return str(folder)

    def take_snapshot(self, file_or_folder_path: str) -> str:
        """Freeze a folder into the workspace's store of snapshots. Returns its id, for `restore_snapshot`."""
        from toolkit import sources

        frozen = sources.freeze(self._experiment.workspace, file_or_folder_path)
        return str(frozen.record["snapshot"]["id"])

    def _register_model(self, fields: dict[str, Any], model_path: str | None) -> Model:
        from toolkit.agent import registering
        from toolkit.inscript.model import Model

        workspace = self._experiment.workspace
        files = details.files(self.directory)
        made = registering.register(workspace.paths, self.directory, files, self._ended, fields, model_path)
        return Model._of_record(workspace, made)

    def __repr__(self) -> str:
        return f"Run(experiment={self._experiment.name!r}, id={self.id!r}, status={self.status!r})"


def _directory_of(workspace: Workspace, run_id: str) -> RunDirectory:
    """The run directory of an existing run.

    Raises:
        UserErrorException: there is no such run.
    """
    directory = workspace.paths.run(str(run_id))
    if os.sep in str(run_id) or not os.path.exists(directory.definition):
        raise UserErrorException(
            f"there is no run '{run_id}' in the workspace '{workspace.name}'; `toolkit runs` lists them"
        )
    return directory
