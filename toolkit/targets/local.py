"""The local target: runs are processes of this machine, started by a launcher that outlives whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from toolkit.configuration import WorkspaceConfiguration
from toolkit.inscript import processes
from toolkit.inscript.files import read_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import WorkspacePaths
from toolkit.targets import data, launched, variables
from toolkit.targets.base import Handle, Job, LaunchError, Phase, Plan
from toolkit.targets.mount import launcher_command, python_path

LAUNCH_SECONDS = 30.0  # a launcher that has not said it lives by then never will


class LocalTarget:
    """Runs scripts as processes of this machine; `slots` of them at once, each with `gpus` GPUs of its own."""

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
        environment = variables.of_run(job, "local")
        if job.gpus:
            environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.visible for gpu in job.gpus)
        prefixes = {"PYTHONPATH": python_path()}
        folder = Path(python).parent
        if not job.environment["user_managed"]:  # an interpreter of ours: its programs come first
            prefixes["PATH"] = [str(folder)]
            environment["VIRTUAL_ENV"] = str(folder.parent)
        elif any((folder.parent / sign).exists() for sign in ("pyvenv.cfg", "conda-meta")):
            prefixes["PATH"] = [str(folder)]  # `python` in a command is then the one that scripts are run with
        return Plan(
            run=job.run,
            command=variables.command(job, python),
            environment=environment,
            path_prefixes=prefixes,
            snapshot={"store": str(self._paths.snapshots), "id": job.definition["snapshot"]["id"]},
            data=data.of_run(job.run, job.definition).steps,
            max_seconds=float(job.definition["max_run_duration_seconds"] or 0),
            grace_seconds=self._grace,
            wake=str(self._paths.wake),
        )

    def launch(self, plan: Plan) -> Handle:
        """Start the launcher in a session of its own and wait until it says that it lives (about 20 ms)."""
        run = plan.run
        with open(run.control_log, "ab") as log:
            process = subprocess.Popen(
                launcher_command(sys.executable, run.root),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=run.root,
            )
        deadline = time.monotonic() + LAUNCH_SECONDS
        while not os.path.exists(run.started):
            code = process.poll()
            if code and not os.path.exists(run.started):  # with code 0 another launcher has the run and will say so
                raise LaunchError(f"the launcher ended with code {code}: {launched.last_words(run.control_log)}")
            if time.monotonic() > deadline:
                process.kill()
                raise LaunchError(f"the launcher did not start within {LAUNCH_SECONDS:.0f} s")
            time.sleep(0.001)
        _children.append(process)
        return Handle(run.root, str(process.pid))

    def poll(self, handles: Iterable[Handle]) -> dict[Handle, Phase]:
        _reap()
        return {handle: launched.phase(handle.run) for handle in handles}

    def logs(self, handle: Handle, offset: int) -> bytes:
        return launched.read_log(handle.run, offset)

    def cancel(self, handle: Handle, grace: float) -> None:
        run = handle.run
        if grace > 0 and launched.lives(run):
            _signal_launcher(run, signal.SIGCONT, signal.SIGTERM)  # the launcher ends the script and records it
            return
        if launched.lives(run):
            _signal_launcher(run, signal.SIGKILL)
        script = read_json(run.script, {})
        processes.end_tree(run.root, int(script.get("pid", -1)), grace)


_children: list[subprocess.Popen[bytes]] = []  # launchers that this process started, to be reaped when they end


def _reap() -> None:
    _children[:] = [child for child in _children if child.poll() is None]


def _signal_launcher(run: RunDirectory, *numbers: int) -> None:
    pid = read_json(run.started, {}).get("pid")
    for number in numbers:
        try:
            os.kill(int(pid), number)
        except (OSError, TypeError):
            return
