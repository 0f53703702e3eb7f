"""The environment variables that every run gets, whichever target starts it."""

from __future__ import annotations

import json
import sys

from toolkit.inscript import attempts
from toolkit.paths import home
from toolkit.targets import data
from toolkit.targets.base import Job
from toolkit.targets.mount import PACKAGE, inscript_folder


def of_run(job: Job, target_type: str) -> dict[str, str]:
    """Names that Azure ML gave its jobs and scripts depend on; the user's own; MLflow's last."""
    return {
        "PYTHONUNBUFFERED": "1",
        "AZUREML_RUN_ID": job.run.id,
        "AZUREML_ARM_PROJECT_NAME": str(job.definition["experiment"]),
        "AZUREML_ARM_WORKSPACE_NAME": str(job.definition["workspace"]),
        **{f"AZUREML_ARM_{name.upper()}": value for name, value in job.definition.get("azure", {}).items() if value},
        "AZUREML_OUTPUT_DIRECTORY": job.run.outputs,
        "AZUREML_TARGET_TYPE": target_type,
        attempts.CHECKPOINTS: job.run.checkpoints,
        "TOOLKIT_DATA": str(home().data),
        **data.of_run(job.run, job.definition).variables,
        **job.definition["environment"]["variables"],
        **job.definition["environment_variables"],
        **job.variables,
    }


def command(job: Job, python: str) -> list[str]:
    """The command line of a run: its shell command, or its script on the interpreter `python`.

    A distributed run is what starts its processes, a sweep what submits its children.
    """
    definition = job.definition
    if definition.get("hyperdrive"):
        return controller_command()
    if definition.get("command"):
        started = ["/bin/sh", "-c", " ".join(definition["command"])]
    else:
        started = [python, str(definition["script"]), *definition["arguments"]]
    if not definition.get("distributed"):
        return started
    spec = {**definition["distributed"], "shell": bool(definition.get("command")), "python": python}
    program = inscript_folder() / "toolkit" / "inscript" / "distributed.py"
    return [python, "-I", "-S", str(program), json.dumps(spec), *started]


def controller_command() -> list[str]:
    """What submits and watches the children of a sweep: the toolkit of this process, whatever else is on the path."""
    home_of_package = str(PACKAGE.parent)
    start = "import sys; sys.path.insert(0, sys.argv[1]); from toolkit.sweeps.controller import main; sys.exit(main())"
    return [sys.executable, "-I", "-c", start, home_of_package]
