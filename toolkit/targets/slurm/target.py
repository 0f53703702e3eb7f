"""The Slurm target: runs are batch jobs of a cluster whose nodes see the toolkit's home under its own path.

The run directory says whether a script runs and how it ended. Slurm is asked for what it cannot say: where a run waits,
and what became of one whose launcher does not beat or was told to stop, by pre-emption or a time limit.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from toolkit.configuration import NO_LIMIT, WorkspaceConfiguration
from toolkit.inscript.files import claim_json, read_json
from toolkit.inscript.launching import last_words
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import WorkspacePaths
from toolkit.targets import launched
from toolkit.targets.base import Handle, Job, Phase, Plan
from toolkit.targets.engine_state import EngineState
from toolkit.targets.mount import inscript_folder
from toolkit.targets.planning import beside_interpreter, plan_of
from toolkit.targets.slurm import request, submissions, words
from toolkit.targets.slurm.client import Client, JobState
from toolkit.targets.slurm.watch import Watch

BEAT_SECONDS = 15.0  # a launcher beats every 5: a run whose heartbeat is older is asked for
SETTLE_SECONDS = 3.0  # until what a node wrote last can be seen here, on a file system that other machines write to
FORCE_SECONDS = 5.0  # between two attempts to end the same run


class SlurmTarget:
    """Runs scripts as jobs of a Slurm cluster, which has a queue of its own."""

    queues = True
    gpus = 0  # the cluster gives them

    def __init__(
        self, name: str, settings: dict[str, Any], configuration: WorkspaceConfiguration, paths: WorkspacePaths
    ) -> None:
        self.name = name
        self.pool = name
        self.slots = int(settings.get("max_concurrent_runs", NO_LIMIT))
        self._settings = settings
        self._grace = configuration.cancel_grace_seconds
        self._paths = paths
        config = str(settings.get("config", ""))
        self._client = Client(config)
        self._submissions = submissions.of(config, request.comment(paths))
        self._watch = Watch(self._client, str(paths.wake))
        self._enders = ThreadPoolExecutor(max_workers=2, thread_name_prefix="scancel")
        self._ending: dict[tuple[str, bool], float] = {}
        self._unsure: dict[Handle, float] = {}  # since when Slurm is asked for a run
        self._over: dict[Handle, float] = {}  # since when Slurm says that its job is over
        self._said: dict[Handle, Phase] = {}

    def prepare(self, job: Job) -> Plan:
        """The plan of a run: its command, on all its nodes where it has several, and what sbatch is asked for."""
        python = str(job.environment["python"])
        plan = beside_interpreter(plan_of(job, "slurm", python, self._paths, self._grace), job, python)
        asked = {"options": request.options(self._settings, job.definition, self._grace), "python": python}
        return replace(plan, command=self._on_nodes(job, python, plan.command), container=asked)

    def _on_nodes(self, job: Job, python: str, command: list[str]) -> list[str]:
        nodes = request.node_count(job.definition)
        if nodes == 1:
            return command
        step = [f"--nodes={nodes}", f"--ntasks={nodes}", f"--cpus-per-task={self._cpus(job)}"]
        program = inscript_folder() / "toolkit" / "inscript" / "slurm_nodes.py"
        document = json.dumps({"step": step, "shell": bool(job.definition.get("command")), "command": command})
        return [python, "-I", "-S", str(program), document.replace("$", r"\u0024")]  # for each node to expand

    def _cpus(self, job: Job) -> int:
        return request.cpus(self._settings, job.definition)

    def launch(self, plan: Plan) -> Handle:
        """Hand the run to Slurm, beside everything else; what comes close together is one job array."""
        return Handle(plan.run.root, self._submissions.hand_over(plan))

    # -- what became of them --------------------------------------------------------------------------------------

    def poll(self, handles: Iterable[Handle]) -> dict[Handle, Phase]:
        phases: dict[Handle, Phase | None] = {handle: self._by_files(handle.run) for handle in handles}
        unsure = self._jobs_of(handle for handle, phase in phases.items() if phase is None)
        answer = self._watch.look(unsure.values()) if unsure else None
        found = {}
        for handle, phase in phases.items():
            if phase is None:
                assert answer is not None
                state = answer.states.get(unsure[handle]) if answer.asked >= self._unsure[handle] else None
                phase = self._by_slurm(handle, unsure[handle], state)
            else:
                self._unsure.pop(handle, None)
                self._over.pop(handle, None)
                if phase is Phase.RUNNING and self._said.get(handle) is not phase:
                    _note_running(handle)
            found[handle] = phase
        self._said = found
        for known in (self._unsure, self._over):
            for handle in known.keys() - found.keys():  # its run has ended
                del known[handle]
        return found

    def _jobs_of(self, handles: Iterable[Handle]) -> dict[Handle, str]:
        """The jobs of runs that Slurm has to be asked for; at once where one was not asked for before."""
        jobs = {}
        for handle in handles:
            jobs[handle] = _job_of(handle)
            if handle not in self._unsure:
                self._unsure[handle] = time.monotonic()
                self._watch.hurry()
        return jobs

    def _by_files(self, run: RunDirectory) -> Phase | None:
        """The phase of a run whose directory says all; None where Slurm has to be asked."""
        record = read_json(run.exit)
        if record is not None:
            # One that was stopped may be in Slurm's queue once more.
            over = record["reason"] != "stopped" or os.path.exists(run.cancel)
            return Phase.ENDED if over else None
        age = _age_of_heartbeat(run)
        return Phase.RUNNING if age < BEAT_SECONDS and os.path.exists(run.script) else None

    def _by_slurm(self, handle: Handle, job: str, state: JobState | None) -> Phase:
        run = handle.run
        if state is None:  # nothing is known yet, or Slurm does not answer: whatever runs goes on
            return self._as_before(handle)
        if not os.path.isdir(run.root):  # somebody deleted it: the other runs are heard of all the same
            return Phase.LOST
        if state.state in words.WAITS or state.state in words.RUNS:
            self._over.pop(handle, None)
            words.of(job, state).note(run)
            if state.state in words.WAITS:
                return Phase.WAITING
            if os.path.exists(run.exit) or not os.path.exists(run.script):
                return self._said.get(handle, Phase.WAITING)  # it is ending, or about to start again
            return Phase.SILENT if _age_of_heartbeat(run) > launched.SILENT_SECONDS else Phase.RUNNING
        return self._when_over(handle, job, state)

    def _when_over(self, handle: Handle, job: str, state: JobState) -> Phase:
        """The phase of a run whose job has ended or is not known any more: by its exit record, where it left one."""
        run = handle.run
        os.listdir(run.root)  # makes a network file system look anew
        cancelled = os.path.exists(run.cancel)
        waited = time.monotonic() - self._over.setdefault(handle, time.monotonic())
        if not os.path.exists(run.exit) and not cancelled and waited < SETTLE_SECONDS:
            return self._as_before(handle)
        words.of(job, state, again=_was_started_too_often(run, state)).note(run)
        if state.state == "CANCELLED" and not cancelled:  # by somebody with scancel: it is as if asked of us
            claim_json(run.cancel, {"time": time.time(), "by": "Slurm"})
            cancelled = True
        if cancelled:
            claim_json(run.exit, {"reason": "stopped", "code": None, "signal": None, "time": time.time()})
        elif state.state in words.FAILS and not os.path.exists(run.started):
            message = f"the launcher did not come up on {state.nodes or 'the node'}: {last_words(run.control_log)}"
            claim_json(run.exit, {"reason": "not_started", "message": message, "code": None, "time": time.time()})
        return Phase.ENDED if os.path.exists(run.exit) else Phase.LOST

    def _as_before(self, handle: Handle) -> Phase:
        run = handle.run
        if handle in self._said:
            return self._said[handle]
        return Phase.RUNNING if os.path.exists(run.script) else Phase.WAITING

    def logs(self, handle: Handle, offset: int) -> bytes:
        return launched.read_log(handle.run, offset)

    def cancel(self, handle: Handle, grace: float) -> None:
        """Have Slurm end it, beside everything else: out of the queue, or by its launcher, or all at once."""
        job, kill = _job_of(handle), grace <= 0
        now = time.monotonic()
        if now < self._ending.get((job, kill), -FORCE_SECONDS) + FORCE_SECONDS:
            return
        self._ending[job, kill] = now
        self._enders.submit(self._end, job, kill)

    def _end(self, job: str, kill: bool) -> None:
        try:
            if kill:
                self._client.kill(job)
            else:
                self._client.stop(job)
        finally:
            self._watch.hurry()


def _job_of(handle: Handle) -> str:
    """The job that has the run: the one whose launcher started it, where an agent that was ended had made two."""
    return str(read_json(handle.run.started, {}).get("engine_id") or handle.engine_id)


def _note_running(handle: Handle) -> None:
    """What Slurm said while the run waited is no longer so, and nobody asks it as long as the files tell."""
    noted = EngineState.of(handle.run)
    if noted is not None and noted.state in words.WAITS:
        EngineState("Slurm", _job_of(handle), "RUNNING").note(handle.run)


def _age_of_heartbeat(run: RunDirectory) -> float:
    """Seconds since the launcher has said that it lives; endless where it never did."""
    try:
        return time.time() - os.stat(run.heartbeat).st_mtime
    except FileNotFoundError:
        return float("inf")


def _was_started_too_often(run: RunDirectory, state: JobState) -> bool:
    """Whether the job ended only because Slurm had started it again, and the run may have no more attempts."""
    return state.state == "COMPLETED" and os.path.exists(run.exit) and not os.path.exists(run.cancel)
