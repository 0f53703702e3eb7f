"""Seconds from `experiment.submit` to the first line of the script, with a warm agent."""

import os
import subprocess
import sys
import time

from serve import serve, settings

from toolkit import Environment, Experiment, ScriptRunConfig, Workspace
from toolkit.agent import wake

SETTINGS = settings()
workspace = Workspace.create("benchmark", exist_ok=True)
experiment = Experiment(workspace, "first-line")


def environment(kind):
    """`own`: the interpreter that submits, as it is; `built`: an environment made from a requirements file."""
    if kind == "own":
        return None
    return Environment.from_pip_requirements("small", SETTINGS["requirements"])


CONFIGS = {
    kind: ScriptRunConfig(source_directory=SETTINGS["source"], script="first.py", environment=environment(kind))
    for kind in ("own", "built")
}


# A whole control script, as a user starts it.
CONTROL = f"""
from toolkit import Experiment, ScriptRunConfig, Workspace
experiment = Experiment(Workspace.get("benchmark"), "first-line")
run = experiment.submit(ScriptRunConfig(source_directory={SETTINGS["source"]!r}, script="first.py"))
run.wait_for_completion()
print(run.directory.driver_log)
"""


def measure(kind):
    began = time.time()
    log = submit(CONFIGS[kind]) if kind in CONFIGS else start_control_script()
    _wait_until_quiet()
    with open(log) as lines:
        return {"seconds": float(lines.readline()) - began}


def submit(config):
    run = experiment.submit(config)
    run.wait_for_completion()
    return run.directory.driver_log


def start_control_script():
    done = subprocess.run([sys.executable, "-c", CONTROL], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def _wait_until_quiet():
    """Until MLflow has the run: the next one is submitted to an agent that is warm and has nothing to do."""
    while os.listdir(workspace.paths.untracked):
        time.sleep(0.01)
    time.sleep(0.1)


try:
    serve(measure)
finally:
    wake.stop(workspace.paths)
    sys.stdout.flush()
