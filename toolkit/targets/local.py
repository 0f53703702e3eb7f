"""The local target: runs are processes of this machine, started by a launcher that outlives whoever started it."""

from __future__ import annotations

import fcntl
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
from toolkit.paths import WorkspacePaths, home
from toolkit.targets.base import Handle, LaunchError, Phase, Plan
from toolkit.targets.mount import inscript_folder, launcher_command

LAUNCH_SECONDS = 30.0  # a launcher that has not said it lives by then never will
SILENT_SECONDS = 60.0  # without a heartbeat for so long, a run does not respond


class LocalTarget:
    """Runs scripts as processes of this machine; `slots` of them at once."""

    def __init__(
        self, name: str, settings: dict[str, Any], configuration: WorkspaceConfiguration, paths: WorkspacePaths
    ) -> None:
        self.name = name
        self.pool = str(settings.get("shares", name))
        self.slots = int(configuration.compute_targets[self.pool].get("slots", 1))
        self._grace = configuration.cancel_grace_seconds
        self._paths = paths

    def prepare(self, run: RunDirectory, definition: dict[str, Any], python: str, extra: dict[str, str]) -> Plan:
        """The plan of a run: its command with the environment's own interpreter and programs first on the path."""
        environment = {
            "PYTHONUNBUFFERED": "1",
            "AZUREML_RUN_ID": run.id,
            "AZUREML_ARM_PROJECT_NAME": str(definition["experiment"]),
            "AZUREML_ARM_WORKSPACE_NAME": str(definition["workspace"]),
            "AZUREML_OUTPUT_DIRECTORY": run.outputs,
            "AZUREML_TARGET_TYPE": "local",
            "TOOLKIT_DATA": str(home().data),
            **definition["environment"]["variables"],
            **definition["environment_variables"],
            **extra,
        }
        prefixes = {"PYTHONPATH": [str(inscript_folder())]}
        folder = Path(python).parent
        if python != definition["environment"].get("interpreter"):  # an interpreter of ours: its programs come first
            prefixes["PATH"] = [str(folder)]
            environment["VIRTUAL_ENV"] = str(folder.parent)
        return Plan(
            run=run,
            command=_command(definition, python),
            environment=environment,
            path_prefixes=prefixes,
            snapshot={"store": str(self._paths.snapshots), "id": definition["snapshot"]["id"]},
            max_seconds=float(definition["max_run_duration_seconds"] or 0),
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
                raise LaunchError(f"the launcher ended with code {code}: {_tail(run.control_log)}")
            if time.monotonic() > deadline:
                process.kill()
                raise LaunchError(f"the launcher did not start within {LAUNCH_SECONDS:.0f} s")
            time.sleep(0.001)
        _children.append(process)
        return Handle(run.root, str(process.pid))

    def poll(self, handles: Iterable[Handle]) -> dict[Handle, Phase]:
        _reap()
        return {handle: _phase(handle.run) for handle in handles}

    def logs(self, handle: Handle, offset: int) -> bytes:
        try:
            with open(handle.run.driver_log, "rb") as file:
                file.seek(offset)
                return file.read()
        except FileNotFoundError:
            return b""

    def cancel(self, handle: Handle, grace: float) -> None:
        run = handle.run
        if grace > 0 and _lives(run):
            _signal_launcher(run, signal.SIGCONT, signal.SIGTERM)  # the launcher ends the script and records it
            return
        if _lives(run):
            _signal_launcher(run, signal.SIGKILL)
        script = read_json(run.script, {})
        processes.end_tree(run.root, int(script.get("pid", -1)), grace)


_children: list[subprocess.Popen[bytes]] = []  # launchers that this process started, to be reaped when they end


def _reap() -> None:
    _children[:] = [child for child in _children if child.poll() is None]


def _command(definition: dict[str, Any], python: str) -> list[str]:
    if definition.get("command"):
        return ["/bin/sh", "-c", " ".join(definition["command"])]
    return [python, str(definition["script"]), *definition["arguments"]]


def _phase(run: RunDirectory) -> Phase:
    if os.path.exists(run.exit):
        return Phase.ENDED
    if not _lives(run):
        return Phase.ENDED if os.path.exists(run.exit) else Phase.LOST
    try:
        beat = os.stat(run.heartbeat).st_mtime
    except FileNotFoundError:
        return Phase.RUNNING if os.path.exists(run.script) else Phase.WAITING
    return Phase.SILENT if time.time() - beat > SILENT_SECONDS else Phase.RUNNING


def _lives(run: RunDirectory) -> bool:
    """Whether the run's launcher holds its lock: true however its pid is reused, false however it was ended."""
    try:
        descriptor = os.open(run.launcher_lock, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _signal_launcher(run: RunDirectory, *numbers: int) -> None:
    pid = read_json(run.started, {}).get("pid")
    for number in numbers:
        try:
            os.kill(int(pid), number)
        except (OSError, TypeError):
            return


def _tail(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return " ".join(file.read()[-500:].split())
    except OSError:
        return "it wrote nothing"
