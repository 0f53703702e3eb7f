"""Bringing a run to its host, in a thread of its own: what is missing is sent, then the host starts it."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from toolkit.environments.store import MARKER
from toolkit.errors import ToolkitError
from toolkit.inscript import attempts
from toolkit.inscript.files import append_line, read_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import WorkspacePaths
from toolkit.targets.base import LaunchError, Plan
from toolkit.targets.ssh import planning, sending, transfer

if TYPE_CHECKING:
    from toolkit.targets.ssh.host import Host

_ROUNDS = 5  # what is sent may be taken away again while we look


class Launching:
    """One run on its way.

    Attributes:
        words: what is being done, for people.
        done: whether it has ended: with `error`, or with `waits_for` saying that it has to wait, or launched.
    """

    def __init__(self, plan: Plan, host: Host, paths: WorkspacePaths, gpus: int) -> None:
        self.words = f"connecting to '{host.address.host}'"
        self.waits_for = ""
        self.error: ToolkitError | None = None
        self.done = False
        self._plan, self._host, self._paths, self._gpus = plan, host, paths, gpus
        self._said: set[str] = set()
        threading.Thread(target=self._work, name=f"launch {plan.run.id}", daemon=True).start()

    def _work(self) -> None:
        try:
            self._bring()
        except ToolkitError as error:
            self.error = error
        except OSError as error:
            self.error = LaunchError(f"the run cannot be brought to '{self._host.address.host}': {error}")
        except Exception as error:
            self.error = LaunchError(f"the run cannot be brought to '{self._host.address.host}': {error!r}")
        finally:
            self.done = True
            self._host.wake()

    def _bring(self) -> None:
        host, run = self._host, self._plan.run
        host.connection()
        assert host.facts is not None
        layout = host.facts.layout
        definition = read_json(run.definition)
        planning.link_outputs(run, definition)
        inputs = planning.inputs_of(run, definition)
        asked = self._asked(layout.run(run.id), definition, inputs)
        for _ in range(_ROUNDS):
            if os.path.exists(run.cancel):
                return
            mirrored = host.mirror(layout.run(run.id), run)
            reply = host.ask("launch", **{**asked, "sizes": mirrored.sizes()})
            if "missing" in reply:
                sending.send(host, reply["missing"], self._paths.snapshots, inputs, self._tell)
                continue
            self.waits_for = str(reply.get("wait", ""))
            if "pid" in reply:
                mirrored.is_watched = True
                if os.path.exists(run.cancel):  # it came while we were at it, and the agent does not know of the script
                    host.ask("cancel", root=layout.run(run.id), attempt=mirrored.attempt, grace=0)
            return
        raise LaunchError(
            f"what was sent to '{host.address.host}' is missing there again and again: is it being removed?"
        )

    def _asked(self, root: str, definition: dict[str, Any], inputs: list[planning.Input]) -> dict[str, Any]:
        plan, run = self._plan, self._plan.run
        assert self._host.facts is not None
        layout = self._host.facts.layout
        environment = read_json(run.environment, {})
        document = {key: value for key, value in asdict(plan).items() if key != "run"}
        document.update(wake=layout.wake, spares=layout.spares)
        asked: dict[str, Any] = {
            "root": root,
            "attempt": attempts.count(run) + 1,
            "definition": definition,
            "plan": document,
            "launcher": planning.launcher(plan, layout, self._host.facts.python),
            "snapshot": plan.snapshot["id"] if plan.snapshot else "",
            "inputs": [{"key": one.key, "signature": one.signature} for one in inputs],
            "also": transfer.also_wanted(run),
            "gpus": self._gpus,
            "order": [-float(definition.get("priority") or 0), float(definition["submitted"])],
        }
        if environment.get("lock_hash") and not environment.get("user_managed"):
            asked["prefix"] = {"key": environment["lock_hash"], "marker": MARKER}
        return asked

    def _tell(self, words: str) -> None:
        """Say what is being done: to the agent each time, in the run's build log once."""
        self.words = words
        title = re.sub(r", \d+ %$", "", words)
        if title not in self._said:
            self._said.add(title)
            append_line(RunDirectory(self._plan.run.root).build_log, title)
