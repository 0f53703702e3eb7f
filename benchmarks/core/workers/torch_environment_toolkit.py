"""Seconds from `experiment.submit` with a specification until the script has imported torch."""

import os
import shutil
import time

import psutil
from serve import serve, settings

from toolkit import Environment, Experiment, ScriptRunConfig, Workspace
from toolkit.agent import wake
from toolkit.inscript.files import read_json
from toolkit.paths import home

SETTINGS = settings()
workspace = Workspace.create("benchmark", exist_ok=True)
experiment = Experiment(workspace, "torch")


def measure(cold):
    """`cold`: without anything of the environment but what uv keeps of its downloads."""
    if cold:
        shutil.rmtree(home().environments, ignore_errors=True)
    environment = Environment.from_conda_specification("pytorch-env", SETTINGS["specification"])
    config = ScriptRunConfig(source_directory=SETTINGS["source"], script="first.py", environment=environment)
    began = time.time()
    run = experiment.submit(config)
    details = run.wait_for_completion()
    while os.listdir(workspace.paths.untracked):
        time.sleep(0.01)
    with open(run.directory.driver_log) as log:
        imported = float(log.read().split()[-1])
    python = read_json(run.directory.environment)["python"]
    _wait_for_bytecode(os.path.dirname(os.path.dirname(python)))
    return {"seconds": imported - began, "phases": details["phases"], "python": python}


def _wait_for_bytecode(prefix):
    """It is written beside the first run; whoever is measured next must not pay for it."""
    while any(_is_compiling(process, prefix) for process in psutil.process_iter()):
        time.sleep(0.1)


def _is_compiling(process, prefix):
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    return "compileall" in command and any(word.startswith(prefix) for word in command)


try:
    serve(measure)
finally:
    wake.stop(workspace.paths)
