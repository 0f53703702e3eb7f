"""An engine that is only played: it takes runs, says that they run, and ends those that somebody wrote down.

It is what an engine of a package of its own is: a `Kind` that an entry point names, and a class with the five methods.
No process is started, so what is measured is the agent. Each call to the engine is noted in `calls.jsonl`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from toolkit.configuration import WorkspaceConfiguration
from toolkit.inscript.files import claim_json, write_json
from toolkit.paths import WorkspacePaths
from toolkit.targets import launched
from toolkit.targets.base import Handle, Job, Phase, Plan
from toolkit.targets.kind import Kind
from toolkit.targets.settings import COMMON, QUEUE

KIND = Kind(
    "simulated_engine:SimulatedTarget", {"type": COMMON["type"], **QUEUE}, summary="an engine that is only played"
)


class SimulatedTarget:
    """Runs that were launched run until their id stands in the file `ended`."""

    gpus = 0
    queues = True

    def __init__(
        self, name: str, settings: dict[str, Any], configuration: WorkspaceConfiguration, paths: WorkspacePaths
    ) -> None:
        self.name = self.pool = name
        self.slots = int(settings.get("max_concurrent_runs", 1_000_000))
        self._folder = paths.agent

    def prepare(self, job: Job) -> Plan:
        return Plan(run=job.run, command=["played"], environment={})

    def launch(self, plan: Plan) -> Handle:
        now = time.time()
        claim_json(plan.run.started, {"pid": 0, "time": now})
        write_json(plan.run.script, {"pid": 0, "time": now})
        self._note("launch", 1)
        return Handle(plan.run.root, plan.run.id)

    def poll(self, handles: Iterable[Handle]) -> dict[Handle, Phase]:
        asked = list(handles)
        try:
            ended = set((self._folder / "ended").read_text().split())
        except FileNotFoundError:
            ended = set()
        for handle in asked:
            if handle.engine_id in ended:
                claim_json(handle.run.exit, {"reason": "exited", "code": 0, "signal": None, "time": time.time()})
        self._note("poll", len(asked))
        return {handle: Phase.ENDED if handle.engine_id in ended else Phase.RUNNING for handle in asked}

    def logs(self, handle: Handle, offset: int) -> bytes:
        return launched.read_log(handle.run, offset)

    def cancel(self, handle: Handle, grace: float) -> None:
        claim_json(handle.run.exit, {"reason": "stopped", "code": None, "signal": None, "time": time.time()})
        with Path(self._folder / "ended").open("a") as file:
            file.write(handle.engine_id + "\n")

    def _note(self, call: str, runs: int) -> None:
        with (self._folder / "calls.jsonl").open("a") as file:
            file.write(json.dumps({"call": call, "runs": runs, "time": time.time()}) + "\n")
