"""The local target: runs are processes of this machine, started by a launcher that outlives whoever started it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from toolkit import gpus
from toolkit.configuration import WorkspaceConfiguration
from toolkit.inscript import launching
from toolkit.paths import WorkspacePaths
from toolkit.targets import launched
from toolkit.targets.base import Handle, Job, LaunchError, Phase, Plan
from toolkit.targets.mount import launcher_command
from toolkit.targets.planning import beside_interpreter, plan_of


class LocalTarget:
    """Runs scripts as processes of this machine; `slots` of them at once, each with `gpus` GPUs of its own."""

    queues = False

    def __init__(
        self, name: str, settings: dict[str, Any], configuration: WorkspaceConfiguration, paths: WorkspacePaths
    ) -> None:
        self.name = name
        self.pool = str(settings.get("shares", name))
        self.slots = configuration.slots(name)
        self.gpus = int(settings.get("gpus", 0))
        self._grace = configuration.cancel_grace_seconds
        self._paths = paths

    def prepare(self, job: Job) -> Plan:
        """The plan of a run: its command with the environment's own interpreter and programs first on the path."""
        python = str(job.environment["python"])
        plan = beside_interpreter(plan_of(job, "local", python, self._paths, self._grace), job, python)
        if job.gpus:
            plan.environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
            plan.environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.visible for gpu in job.gpus)
        return plan

    def launch(self, plan: Plan) -> Handle:
        """Start the launcher, which outlives this process."""
        run = plan.run
        try:
            process = launching.launch(run, launcher_command(sys.executable, run.root))
        except launching.NotLaunched as error:
            raise LaunchError(str(error)) from error
        _children.append(process)
        return Handle(run.root, str(process.pid))

    def poll(self, handles: Iterable[Handle]) -> dict[Handle, Phase]:
        _reap()
        return {handle: launched.phase(handle.run) for handle in handles}

    def logs(self, handle: Handle, offset: int) -> bytes:
        return launched.read_log(handle.run, offset)

    def cancel(self, handle: Handle, grace: float) -> None:
        launching.end(handle.run, grace)


def examine(name: str, settings: dict[str, Any]) -> str:
    """For `toolkit doctor`: the GPUs that its runs would have.

    Raises:
        ComputeTargetException: this machine has fewer.
    """
    count = int(settings.get("gpus", 0))
    return f"{len(gpus.require(name, count))} GPUs" if count else ""


_children: list[subprocess.Popen[bytes]] = []  # launchers that this process started, to be reaped when they end


def _reap() -> None:
    _children[:] = [child for child in _children if child.poll() is None]
