"""The controller of a sweep: the process of the parent run, which submits the children, watches and ends them.

It keeps nothing that is not in the run directories: a controller that is started again goes on with the children that
are there. Children have the parent's id with their number behind it, so none is submitted twice.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from toolkit.inscript.files import append_line, claim_json, read_json
from toolkit.inscript.rundir import RUN_DIRECTORY, RunDirectory
from toolkit.inscript.spool import Spool
from toolkit.paths import WorkspacePaths
from toolkit.status import CANCELED, FAILED
from toolkit.sweeps import policies
from toolkit.sweeps.children import Child, arguments, ids
from toolkit.sweeps.proposals import Outcome, propose

POLL_SECONDS = 0.2
RETRY_SECONDS = 5.0  # after a child could not be submitted: a full disk, say
GIVE_UP_AFTER = 3  # first children that all fail without a metric: the script is broken, and the rest is not started
TERMINATED = signal.SIGTERM


class Controller:
    """Brings a sweep to its end."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        self.paths = WorkspacePaths(Path(directory.root).parent.parent)
        self.definition: dict[str, Any] = read_json(directory.definition)
        self.sweep: dict[str, Any] = self.definition["hyperdrive"]
        self.metric = str(self.sweep["primary_metric"]["name"])
        self.maximize = self.sweep["primary_metric"]["goal"] == "maximize"
        began = float(read_json(directory.started, {}).get("time") or time.time())
        self.deadline = began + 60 * float(self.sweep["max_duration_minutes"])
        self.children: list[Child] = []
        self.total = int(self.sweep["max_total_runs"])
        self.stopped = False
        self._retry_at = 0.0

    # -- the loop -----------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Submit and watch until all children have ended. The exit code of the sweep."""
        signal.signal(signal.SIGTERM, self._stop)
        self._find_children()
        self.say("Experiment created" if not self.children else f"Going on with {len(self.children)} child runs")
        while True:
            for child in self.children:
                self._look(child)
            if self.stopped:
                self._cancel_all("the sweep is cancelled")
                return 128 + TERMINATED
            self._watch_limits()
            self._apply_policy()
            while self._may_submit() and self._submit():
                pass
            if all(child.ended for child in self.children) and len(self.children) >= self.total:
                return self._conclude()
            time.sleep(POLL_SECONDS)

    def _stop(self, number: int, frame: object) -> None:
        self.stopped = True

    def say(self, message: str) -> None:
        """One line into the driver log, and into the log that Azure ML SDK v1 had for it."""
        line = f"[{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime())}][SWEEP][INFO] {message}"
        print(line, flush=True)
        append_line(os.path.join(self.directory.logs, "hyperdrive.txt"), line)

    def _look(self, child: Child) -> None:
        if child.ended:
            return
        child.look()
        if child.ended:
            best = child.best(self.maximize)
            came_to = f"{self.metric} = {best:g}" if best is not None else f"without a '{self.metric}'"
            self.say(f"{child.id}: {child.status}, {came_to}")
        else:
            from toolkit.agent import wake

            wake.keep_running(self.paths)

    # -- submitting ---------------------------------------------------------------------------------------------------

    def _find_children(self) -> None:
        """The children that are there: a controller before this one has submitted them."""
        for number in range(self.total):
            directory = self.paths.run(self._child_id(number))
            if not os.path.exists(directory.definition):
                break
            self._list(directory)
            self.children.append(Child.of(directory, self.metric))

    def _list(self, child: RunDirectory) -> None:
        """See that a child is listed: its submit may have been ended before that, or found the disk full."""
        if child.id not in ids(self.directory):
            append_line(self.directory.submitted_children, child.id)

    def _child_id(self, number: int) -> str:
        return f"{self.directory.id}_{number}"

    def _may_submit(self) -> bool:
        living = sum(not child.ended for child in self.children)
        more = len(self.children) < self.total and living < int(self.sweep["max_concurrent_runs"])
        return more and not self.stopped and time.time() >= self._retry_at

    def _submit(self) -> bool:
        """Submit the next child. False where it has to be tried again later."""
        from toolkit import submit
        from toolkit.errors import ToolkitError
        from toolkit.experiment import Experiment
        from toolkit.workspace import Workspace

        number = len(self.children)
        definition = self._child_definition(number)
        directory = self.paths.run(definition["id"])
        diff = Path(self.directory.git_diff).read_bytes() if os.path.exists(self.directory.git_diff) else b""
        try:
            if os.path.exists(directory.definition):  # an earlier try came as far as that
                self._list(directory)
            else:
                workspace = Workspace(workspace_name=self.paths.root.name)
                submit.start(Experiment(workspace, self.definition["experiment"]), definition, diff)
        except (ToolkitError, OSError) as error:
            self.say(f"{definition['id']} could not be submitted, and is tried again: {error}")
            self._retry_at = time.time() + RETRY_SECONDS
            return False
        child = Child.of(directory, self.metric)
        self.children.append(child)
        self.say(f"{child.id}: submitted with {json.dumps(child.values)}")
        return True

    def _child_definition(self, number: int) -> dict[str, Any]:
        template: dict[str, Any] = json.loads(json.dumps(self.sweep["child"]))
        values, resumed = self._values(number)
        template["arguments"] = arguments([*template["arguments"]], values) + resumed
        template["tags"] = {**template["tags"], "hyperparameters": json.dumps(values)}
        own = {"id": self._child_id(number), "parent": self.directory.id, "submitted": time.time()}
        return {**template, **own, "hyperparameters": values}

    def _values(self, number: int) -> tuple[dict[str, Any], list[str]]:
        """The values of a child, and the arguments that name what it goes on from."""
        resumed = self.sweep["resumed"]
        if number < len(resumed):
            return resumed[number]["values"], ["--resume-from", resumed[number]["from"]]
        outcomes = [Outcome(one["values"], one["metric"], True) for one in self.sweep["earlier"]]
        outcomes += [Outcome(child.values, child.best(self.maximize), child.ended) for child in self.children]
        return propose(self.sweep["sampling"], number - len(resumed), outcomes, self.maximize), []

    # -- ending -------------------------------------------------------------------------------------------------------

    def _watch_limits(self) -> None:
        """Submit no more when the time is over, or when the script is plainly broken."""
        if time.time() > self.deadline and not all(child.ended for child in self.children):
            self._cancel_all(f"max_duration_minutes={self.sweep['max_duration_minutes']:g} is over")
        if time.time() > self.deadline:
            self.total = len(self.children)
        ended = [child for child in self.children if child.ended]
        broken = len(ended) >= GIVE_UP_AFTER and all(child.status == FAILED and not child.history for child in ended)
        if broken and len(self.children) < self.total:
            self.say(f"the first {len(ended)} children failed without a '{self.metric}': no more are started")
            self.total = len(self.children)

    def _apply_policy(self) -> None:
        policy = self.sweep["policy"]
        only_living = bool(policy["properties"].get("exclude_finished_jobs"))
        for child in self.children:
            interval = policies.due(policy, len(child.history))
            if child.ended or not interval:
                continue
            others = [one for one in self.children if one is not child and not (only_living and one.ended)]
            rivals = [one.history for one in others if len(one.history) >= interval]
            if (interval, len(rivals)) <= child.looked_at:
                continue
            child.looked_at = (interval, len(rivals))
            if policies.ends(policy, child.history, rivals, interval, self.maximize):
                self._cancel(child, f"ended early by the policy {policy['name']} at interval {interval}")

    def _cancel_all(self, why: str) -> None:
        for child in self.children:
            if not child.ended:
                self._cancel(child, why)

    def _cancel(self, child: Child, why: str) -> None:
        from toolkit.agent import wake

        if claim_json(child.directory.cancel, {"time": time.time(), "by": os.getpid(), "reason": why}):
            self.say(f"{child.id}: cancelling, {why}")
            wake.wake(self.paths)

    def _conclude(self) -> int:
        """Record the best child. A sweep whose children all failed has failed."""
        ranked = [(child.best(self.maximize), child) for child in self.children]
        scored = [(score, child) for score, child in ranked if score is not None]
        if scored:
            pick = max if self.maximize else min
            score, best = pick(scored, key=lambda one: one[0])
            self._record(best, score)
            self.say(f"best child: {best.id}, {self.metric} = {score:g}, with {json.dumps(best.values)}")
        elif any(child.status != CANCELED for child in self.children):
            self.say(f"no child logged the primary metric '{self.metric}', so there is no best one")
        if self.children and all(child.status == FAILED for child in self.children):
            self.say(
                f"all {len(self.children)} children failed; the first one's log: toolkit logs {self.children[0].id}"
            )
            return 1
        self.say("Experiment finished")
        return 0

    def _record(self, best: Child, score: float) -> None:
        spool = Spool(self.directory.spool)
        spool.record("property", name="best_child_run_id", value=best.id)
        spool.record("property", name="score", value=repr(score))
        row = {"metric_name": [self.metric], "run_id": [best.id], "metric_value": [score], "final": [True]}
        spool.series("table", "best_child_by_primary_metric", row, 1)


def prepare_variables(directory: RunDirectory) -> None:
    """Take out of this process's variables what the parent's run has set: its children inherit the submitter's."""
    plan = read_json(directory.plan, {})
    for name in (RUN_DIRECTORY, *plan.get("environment", {})):
        os.environ.pop(name, None)
    for name, folders in plan.get("path_prefixes", {}).items():
        kept = [one for one in os.environ.get(name, "").split(os.pathsep) if one and one not in folders]
        os.environ[name] = os.pathsep.join(kept)
        if not kept:
            del os.environ[name]
    os.environ["TOOLKIT_HOME"] = str(Path(directory.root).parent.parent.parent.parent)


def main() -> int:
    directory = RunDirectory(os.environ[RUN_DIRECTORY])
    prepare_variables(directory)
    return Controller(directory).run()


if __name__ == "__main__":
    sys.exit(main())
