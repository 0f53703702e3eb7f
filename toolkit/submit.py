"""Submitting: check everything first, then freeze the sources, write the run directory, wake the agent."""

from __future__ import annotations

import getpass
import json
import os
import re
import secrets
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import distributed, gpus, sources
from toolkit.agent.wake import wake
from toolkit.binding import bind
from toolkit.errors import UserErrorException, storage_errors
from toolkit.images import engine
from toolkit.inscript import logged_run
from toolkit.inscript.elsewhere import ELSEWHERE
from toolkit.inscript.files import append_line, is_within, read_json, write_json
from toolkit.inscript.requests import NO_ANSWERS
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import WorkspacePaths, home
from toolkit.run_configuration import effective_target
from toolkit.status import COMPLETED, NOT_STARTED, Event, append_event
from toolkit.targets import elsewhere, registry
from toolkit.targets.settings import RETRY_CAUSES, is_causes

if TYPE_CHECKING:
    from toolkit.experiment import Experiment
    from toolkit.run import Run
    from toolkit.run_configuration import RunConfiguration
    from toolkit.script_run_config import ScriptRunConfig
    from toolkit.targets.kind import Kind
    from toolkit.workspace import Workspace

# Of the submitter's environment: what would tie the script to the submitter's own run, its machine, or its Python.
_OWN = (
    ELSEWHERE,
    NO_ANSWERS,
    "TOOLKIT_RUN_DIR",
    "AZUREML_RUN_ID",
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "VIRTUAL_ENV",
    "PYTHONHOME",
    "__PYVENV_LAUNCHER__",
)


def submit(
    experiment: Experiment, config: Any, tags: dict[str, str], parent: str | None = None, run_id: str | None = None
) -> Any:
    """Submit a run: see `Experiment.submit`. `parent` is the id of the run that it is a child of."""
    if not isinstance(tags, dict):
        raise UserErrorException(f"tags must be a dictionary, as in {{'area': 'digits'}}, not {tags!r}")
    if hasattr(config, "submit_to"):  # what is more than one script: a sweep, say
        if run_id is not None:
            raise UserErrorException("a sweep is given its id by HyperDriveConfig(custom_run_id=…)")
        return config.submit_to(experiment, tags, parent)
    if run_id is not None:
        check_id(experiment, run_id)
    definition, diff = freeze(experiment, config, tags)
    definition.update({key: value for key, value in (("parent", parent), ("id", run_id)) if value is not None})
    return start(experiment, definition, diff)


def check_id(experiment: Experiment, run_id: str) -> None:
    """Refuse what cannot be the id of a new run.

    Raises:
        UserErrorException: it cannot, or there is such a run.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w-]{0,200}", run_id, re.ASCII):
        raise UserErrorException(
            f"'{run_id}' cannot be the id of a run: use 1 to 200 letters, digits, hyphens and underscores"
        )
    if os.path.exists(experiment.workspace.paths.run(run_id).root):
        raise UserErrorException(f"there is a run '{run_id}' in the workspace already: leave run_id out")


def freeze(experiment: Experiment, config: ScriptRunConfig, tags: dict[str, str]) -> tuple[dict[str, Any], bytes]:
    """Check a run and freeze its sources: its whole definition, and the uncommitted changes as `git diff` shows them.

    It can be started more than once, each time with another `new_id`.
    """
    began = time.time()
    definition = define(experiment, config, tags)
    frozen = sources.freeze(
        experiment.workspace, config.source_directory, None if config.command_line else config.script
    )
    environment = config.run_config.environment
    if not environment.uses_own_interpreter or environment.docker.has_base:
        environment.register_locally(experiment.workspace)
    definition.update(frozen.record)
    definition["snapshot"]["seconds"] = round(time.time() - began, 4)
    definition["environment"]["version"] = environment.version
    definition["properties"].update(frozen.properties)
    definition["submitted"] = began
    return definition, frozen.diff


def start(experiment: Experiment, definition: dict[str, Any], diff: bytes = b"") -> Run:
    """Write the run directory of a definition and wake the agent."""
    paths = experiment.workspace.paths
    _create(paths, experiment, definition, diff)
    if definition.get("parent"):
        append_line(paths.run(definition["parent"]).submitted_children, definition["id"])
    wake(paths)
    return _run(experiment, definition["id"])


def new_id(experiment: Experiment) -> str:
    """The id of a new run: `<experiment>_<unix seconds>_<8 hex>`. It names a folder, so a very long name is cut."""
    return f"{experiment.name[:170]}_{int(time.time())}_{secrets.token_hex(4)}"


def define(experiment: Experiment, config: ScriptRunConfig, tags: dict[str, str]) -> dict[str, Any]:
    """The definition of a run, checked: what is not in the sources. Nothing is written.

    Raises:
        UserErrorException: something in `config` cannot work.
    """
    from toolkit.script_run_config import ScriptRunConfig

    if not isinstance(config, ScriptRunConfig):
        raise UserErrorException(f"submit takes a ScriptRunConfig, not a {type(config).__name__}")
    workspace, run_config = experiment.workspace, config.run_config
    settings = workspace.configuration
    target = effective_target(run_config, settings)
    kind = registry.check(target, settings, workspace.paths.configuration)
    _check_script(config)
    seconds = run_config.max_run_duration_seconds
    if seconds is not None and not (isinstance(seconds, (int, float)) and seconds > 0):
        raise UserErrorException(f"max_run_duration_seconds is {seconds!r}; it must be a number of seconds above 0")
    environment = _environment(run_config, target, kind, workspace)
    bound = bind(workspace, config)
    definition = {
        "id": new_id(experiment),
        "type": "azureml.scriptrun",
        "experiment": experiment.name,
        "workspace": workspace.name,
        "azure": {"subscription": workspace.subscription_id, "resourcegroup": workspace.resource_group},
        "target": target,
        "target_settings": settings.compute_targets[target],
        "script": config.script,
        "command": bound.command,
        "arguments": bound.arguments,
        "data": bound.record,
        "distributed": distributed.plan(run_config),
        "environment": environment,
        "environment_variables": _variables(run_config.environment_variables),
        "max_run_duration_seconds": seconds,
        "priority": _whole("priority", run_config.priority, None),
        "retry": _retry(run_config, settings.compute_targets[target]),
        "tags": {str(key): str(value) for key, value in tags.items()},
        "properties": {"_azureml.ComputeTargetType": settings.compute_targets[target]["type"]},
        "user": user(),
    }
    for notice in registry.check_run(target, settings, definition):
        print(f"toolkit: {notice}", file=sys.stderr)
    return definition


def _whole(name: str, value: object, least: int | None) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or (least is not None and value < least):
        raise UserErrorException(
            f"{name} is {value!r}; it must be a whole number{'' if least is None else f', {least} or more'}"
        )
    return value


def _retry(run_config: RunConfiguration, target: dict[str, Any]) -> dict[str, Any]:
    """For what, and how often, the run is started again: what it says itself, else its target."""
    asked = target.get("max_retries") if run_config.max_retries is None else run_config.max_retries
    causes = target.get("retry_on") if run_config.retry_on is None else run_config.retry_on
    if causes is not None and not is_causes(causes):
        raise UserErrorException(f"retry_on is {causes!r}; it must be a list of {', '.join(RETRY_CAUSES)}")
    found: dict[str, Any] = {"max_retries": _whole("max_retries", asked, 0)}
    return found if causes is None else {**found, "retry_on": causes}


def _environment(run_config: RunConfiguration, target: str, kind: Kind, workspace: Workspace) -> dict[str, Any]:
    """What the definition says of the environment, for the target that it is to run on.

    Raises:
        ComputeTargetException: there is no such target, or it needs a GPU that is not there.
        ContainerEngineUnreachable: the target needs a container engine that does not answer.
        UserErrorException: something in the environment cannot work.
    """
    settings, environment = workspace.configuration, run_config.environment
    image, address = registry.images_of(target, settings, workspace.paths.configuration)
    gpu_count = settings.compute_targets[target].get("gpus") or 0  # a part of one, where an engine gives that
    if gpu_count and kind.is_here:
        gpus.require(target, gpu_count)
    if address:
        engine.ping(address)
    python = "" if kind.is_here else str(settings.compute_targets[target].get("python") or kind.default_python)
    resolved = environment.resolve(settings.package_source, image, bool(gpu_count), python)
    resolved["docker"] = run_config.docker.over(resolved["docker"])
    if image is not None:
        from toolkit.targets import docker_options

        docker_options.check(resolved["docker"])
    said = [*environment.notices(image, bool(gpu_count))]
    said += distributed.notices(run_config, gpu_count, kind.spans_nodes)
    if not kind.is_here:
        said += elsewhere.tracking_notices(target, settings.tracking_uri, resolved)
    for notice in said:
        print(f"toolkit: {notice}", file=sys.stderr)
    return {**resolved, "engine": address}


def _check_script(config: ScriptRunConfig) -> None:
    source = config.source_directory
    if not os.path.isdir(source):
        raise UserErrorException(
            f"source_directory '{source}' is not a folder (looked in {os.getcwd()}): it is the folder with the script"
        )
    if config.command_line:
        return
    if not config.script:
        raise UserErrorException("ScriptRunConfig needs a script, as in script='train.py', or a command")
    path = os.path.join(source, config.script)
    if not os.path.isfile(path) or os.path.isabs(config.script) or not is_within(source, path):
        scripts = sorted(name for name in os.listdir(source) if name.endswith(".py"))[:10]
        raise UserErrorException(
            f"{config.script} script path doesn't exist. The script should be inside the project folder "
            f"'{source}'; there it has: {', '.join(scripts) or 'no .py file'}"
        )


def _variables(variables: dict[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in variables.items()}


def user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        return str(os.getuid())


def _create(paths: WorkspacePaths, experiment: Experiment, definition: dict[str, Any], diff: bytes) -> None:
    """Make the run directory: beside first, and renamed into place when it is whole.

    The marks are made before it, so that a submit that is ended in the middle leaves either nothing that counts or a
    run that the agent finds.
    """
    run_id = definition["id"]
    staging = RunDirectory(str(paths.runs / f".{run_id}"))
    with storage_errors(f"cannot create the run {run_id}", paths.runs):
        try:
            definition["number"] = experiment.add_run(run_id)
            os.makedirs(staging.logs, mode=0o700)
            write_json(staging.definition, definition)
            if diff:
                Path(staging.git_diff).write_bytes(diff)
            if not definition["environment"].get("image"):  # a container has its image's variables
                _save_environ(staging, definition["environment"]["user_managed"])
            append_event(staging, Event(NOT_STARTED))
            for folder in (paths.active, paths.untracked):
                folder.mkdir(exist_ok=True)
                (folder / run_id).touch()
            os.rename(staging.root, paths.run(run_id).root)
        except BaseException:
            shutil.rmtree(staging.root, ignore_errors=True)
            if not os.path.exists(paths.run(run_id).definition):  # there may be another run of this id
                for folder in (paths.active, paths.untracked):
                    (folder / run_id).unlink(missing_ok=True)
            raise


def _save_environ(run: RunDirectory, same_python: bool) -> None:
    """The variables that the script inherits, as a program started here would; deleted when it has them."""
    left_out = {*_OWN} if same_python else {*_OWN, "PYTHONPATH"}
    environ = {key: value for key, value in os.environ.items() if key not in left_out}
    descriptor = os.open(run.environ, os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(environ, file)


def _run(experiment: Experiment, run_id: str) -> Run:
    from toolkit.run import Run

    return Run(experiment, run_id)


def import_offline_run(experiment: Experiment, run_id: str) -> Run:
    """Import an offline run: see `Experiment.import_offline_run`."""
    source = RunDirectory(str(home().offline / run_id))
    offline = read_json(source.definition)
    paths = experiment.workspace.paths
    if offline is None:
        known = sorted(os.listdir(home().offline)) if home().offline.is_dir() else []
        raise UserErrorException(f"there is no offline run '{run_id}'; there are: {', '.join(known[-20:]) or 'none'}")
    if os.path.exists(paths.run(run_id).root):
        raise UserErrorException(f"'{run_id}' is in the workspace '{experiment.workspace.name}' already")
    staging = RunDirectory(str(paths.runs / f".{run_id}"))
    with storage_errors(f"cannot import {run_id}", paths.runs):
        shutil.rmtree(staging.root, ignore_errors=True)
        shutil.copytree(source.root, staging.root)
        _adopt(experiment, staging, run_id)
        os.rename(staging.root, paths.run(run_id).root)
    wake(paths)
    return _run(experiment, run_id)


def _adopt(experiment: Experiment, offline: RunDirectory, run_id: str) -> None:
    """Make the copy of an offline run, and of its children, a run of this experiment that has ended."""
    created = os.stat(offline.definition).st_mtime
    definition = {
        **read_json(offline.definition),
        "experiment": experiment.name,
        "workspace": experiment.workspace.name,
        "number": experiment.add_run(run_id),
        "target": "offline",
        "environment": {"name": "", "user_managed": True},
        "submitted": created,
        "user": user(),
    }
    write_json(offline.definition, definition)
    append_event(offline, Event(NOT_STARTED, time=created))
    append_event(offline, Event(COMPLETED))
    (experiment.workspace.paths.untracked / run_id).touch()
    for child in logged_run.children(offline):
        _adopt(experiment, RunDirectory(os.path.join(offline.children, child)), child)
