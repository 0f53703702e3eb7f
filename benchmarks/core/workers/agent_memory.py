"""Submits runs that wait in the queue and measures the processes that carry them. Resident memory, in bytes."""

import os
import time
from pathlib import Path

import psutil
from serve import serve, settings

from toolkit import Experiment, ScriptRunConfig, Workspace
from toolkit.agent import wake
from toolkit.inscript.files import read_json

SETTINGS = settings()
workspace = Workspace.create("benchmark", exist_ok=True)
experiment = Experiment(workspace, "queue")
config = ScriptRunConfig(source_directory=SETTINGS["source"], script="wait.py", arguments=[SETTINGS["stop"]])


def measure(count):
    runs = [experiment.submit(config) for _ in range(count)]
    _wait_for(lambda: all(_is_settled(run) for run in runs))
    time.sleep(1.5)  # the tracker's last round
    agent, tracker = _processes("toolkit.agent"), _processes("toolkit.agent.tracking")
    states = [run.get_status() for run in runs]
    return {
        "agent": sum(one.memory_info().rss for one in agent),
        "tracker": sum(one.memory_info().rss for one in tracker),
        "private": sum(one.memory_full_info().uss for one in agent + tracker),
        "processes": len(agent + tracker),
        "queued": states.count("Queued"),
    }


def _is_settled(run):
    """It waits or runs, and MLflow knows it."""
    known = read_json(run.directory.tracking, {})
    return run.get_status() in ("Queued", "Running") and known.get("status") in ("Queued", "Running")


def _wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the runs are not queued and known to MLflow after {seconds} s")
        time.sleep(0.1)


def _processes(module):
    """The processes of this workspace that run `module`."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if str(workspace.paths.root) in command and module in command:
            found.append(process)
    return found


try:
    serve(measure)
finally:
    wake.stop(workspace.paths)
    Path(SETTINGS["stop"]).touch()  # the one run that runs sees it and ends
    left = [workspace.paths.run(name) for name in os.listdir(workspace.paths.active)]
    _wait_for(lambda: all(os.path.exists(run.exit) for run in left if os.path.exists(run.started)), seconds=15)
