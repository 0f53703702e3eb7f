"""What the plan of a run has whichever target it goes to; each target adds its own to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from toolkit.paths import WorkspacePaths
from toolkit.targets import data, variables
from toolkit.targets.base import Job, Plan
from toolkit.targets.mount import python_path


def plan_of(job: Job, target_type: str, python: str, paths: WorkspacePaths, grace: float) -> Plan:
    """The plan of a run that finds its folders under the paths that they have here.

    Args:
        target_type: what the script is told of where it is, in AZUREML_TARGET_TYPE.
        python: the interpreter that the script is started with.
        grace: seconds between TERM and KILL.
    """
    return Plan(
        run=job.run,
        command=variables.command(job, python),
        environment=variables.of_run(job, target_type),
        path_prefixes={"PYTHONPATH": python_path()},
        snapshot={"store": str(paths.snapshots), "id": job.definition["snapshot"]["id"]},
        data=data.of_run(job.run, job.definition).steps,
        max_seconds=float(job.definition["max_run_duration_seconds"] or 0),
        grace_seconds=grace,
        wake=str(paths.wake),
    )


def beside_interpreter(plan: Plan, job: Job, python: str) -> Plan:
    """The plan of a run that finds the programs beside its interpreter, on these disks, before all others."""
    folder = Path(python).parent
    prefixes = {**plan.path_prefixes, "PATH": [str(folder)]}
    if not job.environment["user_managed"]:  # an interpreter of ours
        return replace(
            plan, environment={**plan.environment, "VIRTUAL_ENV": str(folder.parent)}, path_prefixes=prefixes
        )
    if any((folder.parent / sign).exists() for sign in ("pyvenv.cfg", "conda-meta")):
        return replace(plan, path_prefixes=prefixes)  # `python` in a command is then the one that scripts are run with
    return plan


def python_in_image(job: Job, python: str) -> str:
    """The interpreter of a script in an image: the image's own, or what a user-managed environment names."""
    named = str(job.definition["environment"].get("interpreter") or "python")
    return named if job.environment["user_managed"] and named != "python" else python
