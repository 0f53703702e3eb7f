"""Seconds from `experiment.submit` to the script's first line, on a target of any kind, with a warm agent."""

import os
import sys
import time

from serve import serve, settings

from toolkit import Environment, Experiment, ScriptRunConfig, Workspace
from toolkit.agent import wake
from toolkit.inscript.files import read_json

SETTINGS = settings()
workspace = Workspace.create("benchmark", exist_ok=True)
workspace.paths.configuration.write_text(f"compute_targets:\n  there: {{{SETTINGS['target']}}}\n")
experiment = Experiment(workspace, "first-line")
config = ScriptRunConfig(source_directory=SETTINGS["source"], script="first.py", compute_target="there")
if SETTINGS.get("requirements"):
    config.run_config.environment = Environment.from_pip_requirements("large", SETTINGS["requirements"])


def measure():
    """`written`: by the script's own clock; `seen`: when the line is here, in the run's log."""
    began = time.time()
    run = experiment.submit(config)
    log = run.directory.driver_log
    while not (os.path.exists(log) and os.path.getsize(log)):
        time.sleep(0.001)
        if run.status in ("Failed", "Canceled"):
            raise RuntimeError(run.get_details().get("error"))
    seen = time.time() - began
    run.wait_for_completion()
    with open(log) as lines:
        written = float(lines.readline()) - began
    _wait_until_quiet()
    job = read_json(run.directory.handle)["engine_id"]
    return {"seen": seen, "written": written, "state": run.get_status(), "job": job}


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
