"""Seconds from `experiment.submit` to the first line of a script in a container, with a warm agent."""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "core" / "workers"))

from serve import serve, settings

from toolkit import Environment, Experiment, ScriptRunConfig, Workspace
from toolkit.agent import wake
from toolkit.inscript.files import read_json

SETTINGS = settings()
TARGETS = "compute_targets:\n" + "".join(
    f"  {name}: {{type: docker, slots: 1, network: {name}, base_image: {SETTINGS['base']!r}}}\n"
    for name in SETTINGS["networks"]
)
workspace = Workspace.create("benchmark", exist_ok=True)
workspace.paths.configuration.write_text(TARGETS + "package_source: pypi\n")
experiment = Experiment(workspace, "first-line")


def measure(network, script):
    """Submit `script` to the target with this network."""
    Path(SETTINGS["source"], "first.py").write_text(script)
    environment = Environment.from_pip_requirements("small", SETTINGS["requirements"])
    config = ScriptRunConfig(
        source_directory=SETTINGS["source"], script="first.py", environment=environment, compute_target=network
    )
    began = time.time()
    run = experiment.submit(config)
    run.wait_for_completion()
    _wait_until_quiet()
    with open(run.directory.driver_log) as lines:
        seconds = float(lines.readline()) - began
    environment = read_json(run.directory.environment)
    return {"seconds": seconds, "image": environment["image"], "python": environment["python"]}


def _wait_until_quiet():
    """Until MLflow has the run and its container is gone."""
    while os.listdir(workspace.paths.untracked):
        time.sleep(0.01)
    time.sleep(0.5)


try:
    serve(measure)
finally:
    wake.stop(workspace.paths)
    sys.stdout.flush()
