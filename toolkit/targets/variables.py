"""The environment variables that every run gets, whichever target starts it."""

from __future__ import annotations

from toolkit.paths import home
from toolkit.targets.base import Job


def of_run(job: Job, target_type: str) -> dict[str, str]:
    """Names that Azure ML gave its jobs and scripts depend on; the user's own; MLflow's last."""
    return {
        "PYTHONUNBUFFERED": "1",
        "AZUREML_RUN_ID": job.run.id,
        "AZUREML_ARM_PROJECT_NAME": str(job.definition["experiment"]),
        "AZUREML_ARM_WORKSPACE_NAME": str(job.definition["workspace"]),
        "AZUREML_OUTPUT_DIRECTORY": job.run.outputs,
        "AZUREML_TARGET_TYPE": target_type,
        "TOOLKIT_DATA": str(home().data),
        **job.definition["environment"]["variables"],
        **job.definition["environment_variables"],
        **job.variables,
    }


def command(job: Job, python: str) -> list[str]:
    """The command line of a run: its shell command, or its script on the interpreter `python`."""
    if job.definition.get("command"):
        return ["/bin/sh", "-c", " ".join(job.definition["command"])]
    return [python, str(job.definition["script"]), *job.definition["arguments"]]
