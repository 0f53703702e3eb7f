"""Ray as a target: a run is a job of a cluster, and its run directory comes back by the job's log.

The program of the job is `toolkit.inscript.streamed`, so what a run logs, prints and puts out is read from its log,
and how its script ended from its exit record. The cluster is asked only about runs of which nothing is heard.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from toolkit.configuration import NO_LIMIT, WorkspaceConfiguration
from toolkit.errors import EngineUnreachable, ToolkitError
from toolkit.inscript.files import read_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.streamed import INSCRIPT, SNAPSHOT
from toolkit.paths import WorkspacePaths
from toolkit.targets import launched
from toolkit.targets.base import Handle, Job, LaunchError, NotYet, Phase, Plan
from toolkit.targets.engine_state import EngineState
from toolkit.targets.mirror import Mirror
from toolkit.targets.mount import inscript_folder
from toolkit.targets.planning import plan_of
from toolkit.targets.ray import cluster, job, packages
from toolkit.targets.ray.cluster import Cluster
from toolkit.targets.ray.environment import interpreter
from toolkit.targets.ray.settings import DEFAULT_MAX_OUTPUT_MB
from toolkit.targets.settings import DEFAULT_FOLDER
from toolkit.targets.there import start_document, there

FRESH_SECONDS = 10.0  # a run that was heard of within them goes on: nobody is asked
LOST_SECONDS, CANCELLED_SECONDS = 600.0, 60.0  # a cluster that does not answer for so long has lost its runs


class RayTarget:
    """Runs scripts as jobs of a Ray cluster."""

    gpus = 0
    queues = True

    def __init__(
        self, name: str, settings: dict[str, Any], configuration: WorkspaceConfiguration, paths: WorkspacePaths
    ) -> None:
        self.name = self.pool = name
        self.slots = int(settings.get("max_concurrent_runs", NO_LIMIT))
        self._settings = settings
        self._grace = configuration.cancel_grace_seconds
        self._paths = paths
        self._seen: dict[str, float] = {}  # since when this process asks about a job
        self._clusters: dict[str, Cluster] = {}

    def prepare(self, job_: Job) -> Plan:
        """The plan of a run; what lies elsewhere on every node is marked in it (see `toolkit.targets.there`)."""
        shared = bool(self._settings.get("shared"))
        found = interpreter(job_, self.name, shared)
        plan = plan_of(job_, "ray", found.python, self._paths, self._grace)
        plan.environment.update(found.variables)
        if found.path:
            plan.path_prefixes["PATH"] = found.path
        asked = {
            "address": self._settings["address"],
            "token_file": str(self._settings.get("token_file") or ""),
            "folder": str(self._settings.get("folder") or DEFAULT_FOLDER),
            "max_output_mb": int(self._settings.get("max_output_mb", DEFAULT_MAX_OUTPUT_MB)),
            "retries": int((job_.definition.get("retry") or {}).get("max_retries") or 0),
            "job": job.request(self._settings, found.runtime_env, self._grace),
        }
        return there(replace(plan, request=asked), "a Ray cluster", shared)

    def launch(self, plan: Plan) -> Handle:
        """Have the cluster take the job. Sending it takes a while, and is done beside."""
        run, known = plan.run, self._cluster(plan.run)
        sending = known.sending.get(run.root)
        if sending is None:
            sending = known.send(run, partial(self._send, plan, job.submission_id(run)))
        if not sending.done():
            raise NotYet(f"sending it to Ray at {known.client.address}")
        del known.sending[run.root]
        try:
            name = sending.result()
        except EngineUnreachable:
            raise
        except (ToolkitError, OSError) as error:
            raise LaunchError(str(error)) from error
        if os.path.exists(run.environ):
            os.unlink(run.environ)  # the nodes have variables of their own
        known.expect(run)
        return Handle(run.root, name)

    def _send(self, plan: Plan, name: str) -> str:
        known, asked = self._cluster(plan.run), plan.request
        document = start_document(plan, asked["folder"], asked["max_output_mb"], asked["retries"])
        parts = {INSCRIPT: packages.of_folder(inscript_folder())}
        if plan.snapshot:
            parts[SNAPSHOT] = packages.of_snapshot(str(self._paths.snapshots), plan.snapshot["id"])
        start = packages.of_start(document, parts)
        for package in (*parts.values(), start):
            package.send(known.client)
        wanted = dict(asked["job"])
        wanted["submission_id"] = name
        wanted["metadata"] = {job.WORKSPACE: str(self._paths.root), job.RUN: plan.run.id}
        wanted["runtime_env"] = {
            **wanted["runtime_env"],
            "working_dir": start.uri,
            "py_modules": [package.uri for package in parts.values()],
        }
        known.client.submit(wanted)
        known.unless_cancelled(plan.run, name)
        return name

    def poll(self, handles: Iterable[Handle]) -> dict[Handle, Phase]:
        phases = {}
        for handle in handles:
            known = self._cluster(handle.run)
            phases[handle] = phase = self._phase(handle.run, known)
            if phase in (Phase.ENDED, Phase.LOST):
                known.retire(handle.run)
        return phases

    def _phase(self, run: RunDirectory, known: Cluster) -> Phase:
        """The phase of a run by what is here, and by what the cluster says where that is not enough."""
        mirror = Mirror(run)
        phase = mirror.phase(gone=known.followers.is_complete(run))
        if phase in (Phase.ENDED, Phase.LOST):
            return phase
        if phase is Phase.RUNNING and _is_fresh(run):
            known.followers.follow(run)  # by an agent that has just come, too
            return phase
        known.look()
        name = job.submission_id(run)
        found = known.jobs.get(name)
        seen = self._seen.setdefault(name, time.monotonic())
        if known.away:
            return self._unheard(run, known, phase)
        if run.root in known.sending:  # once more: a list from before it was taken says nothing
            self._seen[name] = time.monotonic()
            return phase
        if found is None:
            if known.listed < seen or not known.followers.finish(run):
                return phase
            job.gone(name, f"Ray at {known.client.address} does not know the run any more: was it restarted?").note(run)
            return mirror.phase(gone=True)
        state = job.state_of(name, found, read_json(run.plan)["request"]["job"], os.path.exists(run.started))
        if state.reason == job.START_TIMEOUT and not os.path.exists(run.started):
            self._send_again(run, known, name)
            return Phase.WAITING
        state.note(run)
        if job.is_over(found):
            return mirror.phase(gone=True) if known.followers.finish(run) else phase
        if state.state == "RUNNING":
            known.followers.follow(run)
        elif os.path.exists(run.cancel):
            return Phase.LOST  # Ray ends one that waits only when it starts: nobody waits for that here
        elif not known.is_eager(run):
            known.followers.forget(run)  # it waits: nobody looks for its log until it runs
        return phase

    def _send_again(self, run: RunDirectory, known: Cluster, name: str) -> None:
        """Ray gives up a job that did not start within 15 minutes; ours waits as long as it takes."""
        another = job.another_submission_id(name)
        EngineState("Ray", another, "PENDING", reason="given to Ray anew, which had given it up").note(run)
        plan = Plan.load(run)
        known.followers.forget(run)
        if plan is not None:
            known.send_again(run, partial(self._send, plan, another))

    def _unheard(self, run: RunDirectory, known: Cluster, phase: Phase) -> Phase:
        """The phase of a run whose cluster does not answer: it is waited for, but not for ever."""
        limit = CANCELLED_SECONDS if os.path.exists(run.cancel) else LOST_SECONDS
        if time.monotonic() - known.away < limit:
            return phase
        why = f"Ray at {known.client.address} has not answered for {limit / 60:g} minutes"
        job.gone(job.submission_id(run), why).note(run)
        return Phase.LOST

    def logs(self, handle: Handle, offset: int) -> bytes:
        return launched.read_log(handle.run, offset)

    def cancel(self, handle: Handle, grace: float) -> None:
        """Ask Ray to end the job: TERM to its processes, and KILL after the grace of the plan and what is printed."""
        self._cluster(handle.run).stop(job.submission_id(handle.run))

    def _cluster(self, run: RunDirectory) -> Cluster:
        """The cluster that a run was planned for, whatever the settings say now."""
        if run.root not in self._clusters:
            asked = read_json(run.plan)["request"]
            self._clusters[run.root] = cluster.of(asked["address"], asked["token_file"], self._paths)
        return self._clusters[run.root]


def _is_fresh(run: RunDirectory) -> bool:
    try:
        return time.time() - os.stat(run.heartbeat).st_mtime < FRESH_SECONDS
    except OSError:
        return False
