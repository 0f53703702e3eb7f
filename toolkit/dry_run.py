"""The exact plan of a run as YAML, instead of the run: `toolkit exec --dry-run SCRIPT.py`, or TOOLKIT_DRY_RUN=1.

Nothing is frozen, built, pushed or sent. A host that was never reached from the workspace is connected to, since the
paths of a plan are its own. What is known only at the launch is named by what it will be: an environment that is yet to
be built by a folder of that name, an image by its tag instead of its digest.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from toolkit.environments import store
from toolkit.environments.request import Request
from toolkit.errors import ToolkitError, UserErrorException
from toolkit.script_run_config import ScriptRunConfig
from toolkit.targets import registry
from toolkit.targets.base import ComputeTarget, Job, NotYet, Plan

if TYPE_CHECKING:
    from toolkit.experiment import Experiment

CONNECT_SECONDS = 30.0  # so long a target may take to know its paths: a host that is reached for the first time
_NO_SNAPSHOT = "00000000-0000-0000-0000-000000000000"


def plan(experiment: Experiment, config: Any) -> str:
    """What a submit of `config` would start: the objects of a cluster, or the command, its variables and options.

    Raises:
        UserErrorException: the run cannot work as it is, or `config` is more than one run.
        SystemExit: its compute target has to be asked first, and cannot be; with a sentence for the person who asked.
    """
    from toolkit.submit import define

    if not isinstance(config, ScriptRunConfig):
        raise UserErrorException(
            f"a dry run shows the plan of a ScriptRunConfig, and this is a {type(config).__name__}"
        )
    definition = define(experiment, config, {})
    workspace = experiment.workspace
    target = registry.create(definition["target"], workspace.configuration, workspace.paths)
    definition["snapshot"] = {"id": _NO_SNAPSHOT}
    environment = _environment(definition["environment"])
    try:
        planned = _prepared(target, Job(workspace.paths.run(definition["id"]), definition, environment, {}))
    except ToolkitError as error:  # nothing of the script's: where in it that happened helps nobody
        raise SystemExit(f"toolkit: {error}") from None
    objects = planned.container.get("manifests")
    if objects:
        return as_yaml(objects)
    shown = {key: value for key, value in asdict(planned).items() if value and key not in ("run", "wake")}
    return as_yaml([{"target": target.name, **shown}])


def _prepared(target: ComputeTarget, job: Job) -> Plan:
    """The plan of the target itself, which may have to connect first."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            return target.prepare(job)
        except NotYet as reason:
            if time.monotonic() > deadline:
                raise ToolkitError(
                    f"'{target.name}' has no plan yet: {reason}, for {CONNECT_SECONDS:.0f} s by now. See what "
                    "`toolkit doctor` says of it, then try again"
                ) from None
            time.sleep(0.05)


def as_yaml(documents: list[dict[str, Any]]) -> str:
    """Documents, as `kubectl apply -f -` takes them where they are objects of a cluster."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True  # labels are the same object in several places, and are to be read in each

    return str(yaml.dump_all(documents, Dumper=Dumper, sort_keys=False, width=120, allow_unicode=True))


def _environment(wanted: dict[str, Any]) -> dict[str, Any]:
    """What `environment.json` will say, as far as it is known."""
    user_managed = bool(wanted["user_managed"])
    if not wanted.get("image"):
        prefix = None if user_managed else store.find(wanted["key"])
        python = wanted["interpreter"] if user_managed else prefix.python if prefix else "ENVIRONMENT/bin/python"
        return {"python": python, "user_managed": user_managed}
    from toolkit.images import image as images

    request = Request.from_dict(wanted)
    try:
        found = images.find(request)
    except ToolkitError:  # no engine: it is not asked for anything here
        found = None
    made = request.specification is not None or request.lock is not None
    python = found.python if found else images.PYTHON if made else "python3"
    return {"python": python, "image": found.id if found else "", "user_managed": user_managed}
