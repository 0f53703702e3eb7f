"""The reconciler: looks at each run that has not ended and takes the one step that is due.

It keeps nothing that is not in the run directories: a reconciler that starts anew goes on where the last one was
ended, at whatever line that was.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toolkit import configuration, experiment_index, gpus, status
from toolkit.agent import outputs, retries
from toolkit.agent.builds import Builds, find_environment, unshare_log
from toolkit.agent.leases import Leases
from toolkit.agent.outcome import cancelled, finalizing
from toolkit.agent.tracker_process import TrackerProcess, mlflow_version
from toolkit.errors import EngineUnreachable, ToolkitError
from toolkit.gpus import Gpu
from toolkit.inscript import attempts, logged_run
from toolkit.inscript.files import claim_json, read_json, write_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import WorkspacePaths, home
from toolkit.status import Event, append_event
from toolkit.targets import registry
from toolkit.targets.base import ComputeTarget, Handle, Job, LaunchError, NotYet, Phase, Plan
from toolkit.targets.engine_state import EngineState
from toolkit.targets.logged import LoggedTarget

FINALIZING_SECONDS = 10.0  # how long the end of a run waits for MLflow; what is left follows later
ENGINE_SECONDS = 60.0  # how long a run waits for an engine of this machine that went away: it may be restarting
FAR_ENGINE_SECONDS = 1800.0  # and for one elsewhere: a cluster is down for longer, and a laptop without a network
FORCE_SECONDS = 5.0  # after the grace of a cancel: then the launcher itself is ended
UNHEARD_SECONDS = 600.0  # a cancel that an engine has not heard by then, a host that is gone say, counts without it


@dataclass
class ActiveRun:
    """A run that has not ended, as the agent holds it in memory: rebuilt from its folder at any time."""

    directory: RunDirectory
    definition: dict[str, Any]
    event: Event
    environment: dict[str, Any] = field(default_factory=dict)
    handle: Handle | None = None
    cancel_sent: float = 0.0
    waits_for: str = ""  # what its target said last of why it cannot be launched yet
    engine_away: float = 0.0  # since when its engine does not answer
    is_here: bool | None = None  # whether it goes to this machine; None until somebody asks
    order: tuple[float, float, str] = field(default=(0.0, 0.0, ""))  # the highest priority first, then who came first

    @property
    def id(self) -> str:
        return self.directory.id

    @property
    def status(self) -> str:
        return self.event.status


class Reconciler:
    """Brings every run of a workspace to its end. `step()` never waits for long."""

    def __init__(self, paths: WorkspacePaths, tracker: TrackerProcess) -> None:
        self.paths = paths
        self.tracker = tracker
        self.runs: dict[str, ActiveRun] = {}
        self._builds = Builds(paths)
        self._targets: dict[str, ComputeTarget] = {}
        self._made_of: dict[str, Any] = {}  # what the configuration said when each was made
        self._logged = LoggedTarget()
        self._leases = Leases(home().gpu_leases, paths.agent_lock)
        self._configured = (0, 0)
        self._pools: dict[str, str] = {}  # the pools of the runs that engines have, by run
        self._held: Counter[str] = Counter()  # slots that are taken, by pool
        self._children: set[str] = set()  # logged children that are taken up
        self._complained: dict[str, str] = {}  # what was said last that is wrong, by run and target
        self._full: set[str] = set()  # pools in which somebody waits: who comes later waits behind

    def step(self) -> None:
        """One round over all runs, in the order of their priority and submission."""
        self._find_new()
        self._reload_targets()
        self._finish_builds()
        self._poll_engines()
        self._pools = {run.id: self._target(run).pool for run in self._launched()}
        self._held = Counter(self._pools.values())
        self._full = set()
        for run in sorted(self.runs.values(), key=lambda run: run.order):
            try:
                self._advance(run)
                run.engine_away = 0.0
            except Exception as error:  # of somebody else's target, too: it is this run's matter, and the others go on
                if isinstance(error, EngineUnreachable) and self._may_come_back(run):
                    if run.handle is None:  # what the engine said last of one that it has is worth more
                        self._say_why(run, self._target(run), str(error))
                    continue
                self._complain(f"run {run.id}", error)
                if run.handle is None:  # else its script goes on, whatever hinders us, and the next round tries again
                    code = "StorageError" if isinstance(error, OSError) else type(error).__name__
                    self._fail(run, code, f"the agent could not go on with the run: {error or type(error).__name__}")

    @staticmethod
    def _may_come_back(run: ActiveRun) -> bool:
        """Whether the engine that does not answer is waited for a while longer."""
        run.engine_away = run.engine_away or time.time()
        return time.time() - run.engine_away < (ENGINE_SECONDS if _is_here(run) else FAR_ENGINE_SECONDS)

    def _complain(self, what: str, error: Exception) -> None:
        """Say it in the agent's log once: most of what goes wrong goes wrong in every round, for hours."""
        expected = isinstance(error, (ToolkitError, OSError))
        said = str(error) if expected else repr(error)
        if self._complained.get(what) != said:
            self._complained[what] = said
            print(f"{what}: {said}", file=sys.stderr, flush=True)
            if not expected:
                traceback.print_exception(error)

    def busy(self) -> bool:
        return bool(self.runs) or self._builds.busy()

    # -- what there is --------------------------------------------------------------------------------------------

    def _find_new(self) -> None:
        for run in [*self.runs.values()]:
            if run.handle is not None:
                self._mark_logged_children(run)
        for run_id in _names(self.paths.active):
            if run_id not in self.runs:
                try:
                    self._adopt(run_id)
                except Exception as error:  # a damaged folder, a full disk: tried again, and the other runs go on
                    self._complain(f"run {run_id}", error)

    def _mark_logged_children(self, run: ActiveRun) -> None:
        """Take up the children that a script logs: it may not be able to mark them itself, in a container say."""
        for child_id in logged_run.logged_children(run.directory, but=self._children):
            try:
                if status.last_event(self.paths.run(child_id)).status not in status.TERMINAL:
                    experiment_index.add(self.paths, run.definition["experiment"], child_id)
                    for folder in (self.paths.active, self.paths.untracked):
                        (folder / child_id).touch()
            except (ToolkitError, OSError) as error:  # a full disk, say: tried again in the next round
                print(f"run {child_id}: {error}", file=sys.stderr, flush=True)
                return
            self._children.add(child_id)

    def _adopt(self, run_id: str) -> None:
        directory = self.paths.run(run_id)
        definition = read_json(directory.definition)
        if definition is None:
            self._forget_leftover(run_id)
            return
        event = status.last_event(directory)
        if event.status in status.TERMINAL:
            (self.paths.active / run_id).unlink(missing_ok=True)
            return
        run = ActiveRun(directory, definition, event)
        run.order = (-float(definition.get("priority") or 0), definition["submitted"], run_id)
        run.environment = read_json(directory.environment, {})
        if attempts.is_halfway(directory):
            self._queue_again(run)
        if event.status != status.FINALIZING:
            run.handle = _handle_of(directory)
        self.runs[run_id] = run

    def _forget_leftover(self, run_id: str) -> None:
        """Drop the mark of a submit that was ended before its run directory was there."""
        mark = self.paths.active / run_id
        try:
            if time.time() - mark.stat().st_mtime > 3600:
                mark.unlink()
        except FileNotFoundError:
            pass

    def _reload_targets(self) -> None:
        changed = configuration.changed(self.paths.configuration)
        if changed == self._configured:
            return
        self._configured = changed
        try:
            loaded = configuration.load(self.paths.configuration)
        except ToolkitError as error:  # whoever submits is told; the runs that there are go on with what it said before
            print(error, file=sys.stderr, flush=True)
            return
        for name in loaded.compute_targets:  # one that is not named any more is kept for the runs that it has
            said = loaded.what_makes(name)
            if self._made_of.get(name) == said:
                continue  # it goes on with its connections and what it knows
            try:
                self._targets[name] = registry.create(name, loaded, self.paths)
                self._made_of[name] = said
            except Exception as error:  # of somebody else's target, too: its runs say so when they are submitted
                self._complain(f"compute target {name}", error)

    def _target(self, run: ActiveRun) -> ComputeTarget:
        """The run's target; one that was taken out of the configuration, as it was when the run was submitted."""
        if run.definition.get("logged"):
            return self._logged
        name = run.definition["target"]
        if name not in self._targets:
            settings = {key: value for key, value in run.definition["target_settings"].items() if key != "shares"}
            then = configuration.WorkspaceConfiguration(compute_targets={name: settings})
            self._targets[name] = registry.create(name, then, self.paths)
        return self._targets[name]

    # -- what is due ----------------------------------------------------------------------------------------------

    def _advance(self, run: ActiveRun) -> None:
        """Take the steps that are due, until one has to wait."""
        before = None
        while run.status != before:
            before = run.status
            self._take_step(run)

    def _take_step(self, run: ActiveRun) -> None:
        if run.status in status.TERMINAL:
            return
        if run.status == status.FINALIZING:
            self._finalize(run)
        elif os.path.exists(run.directory.cancel):
            self._cancel(run)
        elif run.status == status.NOT_STARTED:
            self.tracker.poke()
            self._enter(run, Event(status.STARTING))
        elif run.status in (status.STARTING, status.PREPARING):
            self._prepare(run)
        elif run.status == status.QUEUED and run.handle is None:
            self._start_if_free(run)
        elif run.status in (status.RUNNING, status.NOT_RESPONDING) and run.handle is None:
            # Its attempt was set aside, and an agent that was ended, or a full disk, kept it from being noted.
            self._enter(run, Event(status.QUEUED, reason="another attempt"))

    def _enter(self, run: ActiveRun, event: Event) -> None:
        append_event(run.directory, event)
        run.event = event

    def _prepare(self, run: ActiveRun) -> None:
        """Give the run its interpreter or image: at once where there is one, else by a build."""
        found = find_environment(run.definition["environment"])
        if found is None:
            self._builds.want(run.directory, run.definition["environment"])
            if run.status != status.PREPARING:
                self._enter(run, Event(status.PREPARING, reason="building the environment"))
            return
        run.environment = found
        write_json(run.directory.environment, found)
        self._enter(run, Event(status.QUEUED, reason="waiting for a free slot"))

    def _finish_builds(self) -> None:
        """Close the logs of builds that ended, and fail the runs of those that failed; the others find it there."""
        for build, error in self._builds.finished():
            for directory in build.waiting:
                unshare_log(directory)
                run = self.runs.get(directory.id)
                if error and run is not None and run.status == status.PREPARING:
                    self._fail(run, "EnvironmentBuildError", error)

    def _start_if_free(self, run: ActiveRun) -> None:
        """Launch the run if its pool has a free slot and nobody waits for it longer."""
        target = self._target(run)
        lent = self._held_by_ancestors(run, target.pool)  # who may be waiting for this run
        if target.pool in self._full and not lent:
            return
        if self._held[target.pool] < target.slots + lent:
            leased = self._lease(run, target)
            try:
                launched = leased is not None and self._launch(run, target, leased)
            except NotYet as reason:  # its slot is kept for it
                launched = not reason.others_wait
                self._say_why(run, target, str(reason))
            if launched:
                self._pools[run.id] = target.pool
                self._held[target.pool] += 1
                return
        self._full.add(target.pool)

    @staticmethod
    def _say_why(run: ActiveRun, target: ComputeTarget, reason: str) -> None:
        """Let people see what a queued run waits for."""
        if reason and run.waits_for != reason:
            run.waits_for = reason
            EngineState(target.name, reason=reason).note(run.directory)

    def _held_by_ancestors(self, run: ActiveRun, pool: str) -> int:
        """How many slots of the pool the runs hold that this one is a child of, or a child's child."""
        held = 0
        parent = self.runs.get(run.definition.get("parent") or "")
        while parent is not None:
            held += self._pools.get(parent.id) == pool
            parent = self.runs.get(parent.definition.get("parent") or "")
        return held

    def _lease(self, run: ActiveRun, target: ComputeTarget) -> list[Gpu] | None:
        """The GPUs that the run has from now on; None while it has to wait for one."""
        if not target.gpus:
            return []
        there = gpus.require(target.name, target.gpus)
        return self._leases.take(run.directory, run.order[:2], there, target.gpus)

    def _launch(self, run: ActiveRun, target: ComputeTarget, leased: list[Gpu]) -> bool:
        """Start the run. False where it cannot be started at all.

        Raises:
            NotYet: it has to wait a moment, until MLflow knows it, say.
        """
        version = "" if run.definition.get("hyperdrive") else mlflow_version(run.environment)  # a sweep asks nothing
        variables = self.tracker.variables(run.directory, version, _is_here(run))
        if variables is None:
            raise NotYet("")
        plan = Plan.load(run.directory)  # an agent that was ended here had planned it already
        try:
            if plan is None:
                plan = target.prepare(Job(run.directory, run.definition, run.environment, variables, leased))
                plan = replace(plan, keep_environ=retries.most(run.definition) > 0)
                plan.save()
            run.handle = target.launch(plan)
        except LaunchError as error:
            self._fail(run, "LaunchError", str(error))
            return False
        write_json(run.directory.handle, {"engine_id": run.handle.engine_id})
        if not target.queues:
            self._enter(run, Event(status.RUNNING))
        return True

    # -- what the engines say -------------------------------------------------------------------------------------

    def _poll_engines(self) -> None:
        """Ask each target once for all the runs that it has, and heed what it says."""
        by_target: dict[str, list[ActiveRun]] = {}
        for run in self._launched():
            by_target.setdefault(self._target(run).name, []).append(run)
        for name, runs in by_target.items():
            try:
                phases = self._target(runs[0]).poll([run.handle for run in runs if run.handle])
            except Exception as error:  # of somebody else's target, too: the others go on, and it is asked again
                self._complain(f"compute target {name}", error)
                continue
            for run in runs:
                try:
                    if run.handle:
                        self._heed(run, phases[run.handle])
                except (ToolkitError, OSError) as error:  # and so do the other runs
                    self._complain(f"run {run.id}", error)

    def _launched(self) -> list[ActiveRun]:
        """The runs that engines have. One whose target cannot be made any more is left alone, and goes on."""
        found = []
        for run in self.runs.values():
            try:
                if run.handle is not None and self._target(run):
                    found.append(run)
            except Exception as error:  # what it was submitted with is refused by now, say
                self._complain(f"run {run.id}", error)
        return found

    def _heed(self, run: ActiveRun, phase: Phase) -> None:
        assert run.handle is not None
        if phase is Phase.LOST:
            self._target(run).cancel(run.handle, 0)  # nothing of it goes on unseen
        if phase in (Phase.ENDED, Phase.LOST) and not os.path.exists(run.directory.definition):
            print(f"run {run.id}: somebody deleted its folder, and it is forgotten", file=sys.stderr, flush=True)
            (self.paths.active / run.id).unlink(missing_ok=True)
            del self.runs[run.id]
            return
        if phase in (Phase.ENDED, Phase.LOST):
            script = read_json(run.directory.script)
            if run.status == status.QUEUED and script is not None:  # it ran, between two looks
                self._enter(run, Event(status.RUNNING, time=max(run.event.time, float(script["time"]))))
            self._mark_logged_children(run)  # those of its last moment
            again = retries.due(run.directory, run.definition)
            if again:
                self._queue_again(run, again)
                return
            self._enter(run, finalizing(run.directory, run.definition))
            run.handle = None
            self.tracker.poke()
        elif phase is Phase.SILENT and run.status == status.RUNNING:
            self._enter(run, Event(status.NOT_RESPONDING, reason="no heartbeat for a minute; it may come back"))
        elif phase is Phase.RUNNING and run.status not in (status.RUNNING, status.CANCEL_REQUESTED):
            self._enter(run, Event(status.RUNNING))
        elif phase is Phase.WAITING and run.status in (status.RUNNING, status.NOT_RESPONDING):
            self._enter(run, Event(status.QUEUED, reason=f"{EngineState.of(run.directory) or 'its engine'}: once more"))

    def _queue_again(self, run: ActiveRun, reason: str = "another attempt") -> None:
        """Let a run that its machine failed start anew: its slot is free, and what the attempt left is set aside."""
        attempts.set_aside(run.directory, with_plan=True)
        run.handle = None
        run.waits_for = ""
        self._enter(run, Event(status.QUEUED, reason=reason))

    # -- how it ends ----------------------------------------------------------------------------------------------

    def _cancel(self, run: ActiveRun) -> None:
        self._cancel_children(run)
        if run.handle is None:
            self._builds.forget(run.directory)
            self._enter(run, cancelled(run.directory, "cancelled before it started"))
            self.tracker.poke()
            return
        now = time.time()
        try:
            target = self._target(run)
        except Exception:
            if now < _changed(run.directory.cancel) + UNHEARD_SECONDS:
                raise
            run.handle = None
            self._enter(run, cancelled(run.directory, "cancelled; its compute target could not be asked"))
            return
        grace = read_json(run.directory.plan, {}).get("grace_seconds", 10)
        if not run.cancel_sent:
            run.cancel_sent = now
            if run.status != status.CANCEL_REQUESTED:
                self._enter(run, Event(status.CANCEL_REQUESTED))
            target.cancel(run.handle, grace)
        elif now > run.cancel_sent + grace + UNHEARD_SECONDS:
            claim_json(run.directory.exit, {"reason": "stopped", "code": None, "signal": None, "time": now})
        elif now > run.cancel_sent + grace + FORCE_SECONDS:
            target.cancel(run.handle, 0)

    def _cancel_children(self, run: ActiveRun) -> None:
        """The children of a run that failed or was cancelled end with it."""
        for child_id in logged_run.children(run.directory):
            child = self.paths.run(child_id)
            if os.path.exists(child.definition) and status.last_event(child).status not in status.TERMINAL:
                claim_json(child.cancel, {"time": time.time(), "by": os.getpid(), "parent": run.id})

    def _fail(self, run: ActiveRun, code: str, message: str) -> None:
        self._builds.forget(run.directory)
        error = {"code": code, "message": message}
        self._enter(run, Event(status.FINALIZING, outcome=status.FAILED, reason=message, error=error))
        run.handle = None
        self.tracker.poke()

    def _finalize(self, run: ActiveRun) -> None:
        """Close the run once MLflow has it all, or after a while: what is missing then follows when it can."""
        if not outputs.complete(self.paths, run.directory, run.definition, run.event.outcome):
            if _changed(run.directory.cancel) > run.event.time:
                outputs.give_up(run.directory)
            return
        waited = time.time() - run.event.time
        if not self.tracker.is_done(run.directory) and waited < FINALIZING_SECONDS and not self.tracker.is_down():
            return
        event = outputs.judged(run.directory, run.event)
        if event.outcome != status.COMPLETED:
            self._cancel_children(run)
        Path(run.directory.environ).unlink(missing_ok=True)
        self._enter(run, Event(event.outcome, reason=event.reason, error=event.error))
        (self.paths.active / run.id).unlink(missing_ok=True)
        self._complained.pop(f"run {run.id}", None)
        del self.runs[run.id]


def _is_here(run: ActiveRun) -> bool:
    """Whether the run goes to this machine."""
    if run.is_here is None:
        kind = registry.kind(str((run.definition.get("target_settings") or {}).get("type")))
        run.is_here = kind is None or kind.is_here
    return run.is_here


def _handle_of(run: RunDirectory) -> Handle | None:
    """The handle of a run that an agent before this one has launched."""
    known = read_json(run.handle)
    if known is None and os.path.exists(run.started):  # it was ended before it had noted it
        started = read_json(run.started)
        known = {"engine_id": str(started.get("engine_id") or started["pid"])}
    return Handle(run.root, known["engine_id"]) if known else None


def _changed(path: str) -> float:
    """When a file was written, in seconds since the epoch; 0 where there is none."""
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0


def _names(folder: object) -> list[str]:
    try:
        return sorted(os.listdir(str(folder)))
    except FileNotFoundError:
        return []
