"""A module as a step of a control script: a `ScriptRunConfig` for `Experiment.submit`. It needs the whole toolkit."""

from __future__ import annotations

import os
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.inscript.errors import UserErrorException
from toolkit.vision.modules import MODULES

if TYPE_CHECKING:
    from toolkit.environment import Environment
    from toolkit.script_run_config import ScriptRunConfig

_START = Path(__file__).resolve().parent / "start"


def step(
    module: str, compute_target: object = None, environment: Environment | None = None, **parameters: Any
) -> ScriptRunConfig:
    """The configuration of a run that does one module, as in `step("densenet", output_path="network")`.

    Args:
        module: the name of its command, as in "train-pytorch-model"; its function's name is taken too.
        compute_target: where it runs.
        environment: of `environments/vision-env.yml`; None is the interpreter that submits.
        parameters: those of the module. Paths are made absolute, and a container gets them mounted.

    Raises:
        UserErrorException: no such module, or parameters that it does not have or needs.
    """
    from toolkit.script_run_config import ScriptRunConfig

    found = MODULES.get(module.replace("_", "-"))
    if found is None:
        raise UserErrorException(f"there is no module '{module}'; there are {', '.join(MODULES)}")
    paths = {
        one.name: os.path.abspath(parameters[one.name])
        for one in found.parameters()
        if one.is_path and parameters.get(one.name) is not None
    }
    try:
        words = found.arguments({**parameters, **paths})
    except TypeError as error:
        raise UserErrorException(f"{found.title}: {error}") from None
    if environment is not None:
        outputs = {one.name for one in found.parameters() if one.is_output}
        seen = [_existing(os.path.dirname(path) if name in outputs else path) for name, path in paths.items()]
        environment = _with_mounts(environment, seen)
    return ScriptRunConfig(
        _START,
        "run_module.py",
        arguments=[found.name, *words],
        compute_target=compute_target,
        environment=environment,
    )


def _existing(path: str) -> str:
    """The path, or the nearest folder above it that is there: what is above an output is made in the run."""
    return path if os.path.exists(path) else _existing(os.path.dirname(path))


def _with_mounts(environment: Environment, paths: list[str]) -> Environment:
    """The environment with these files and folders mounted where a container runs it."""
    mounted = deepcopy(environment)
    mounted.docker.arguments = list(mounted.docker.arguments)
    for path in sorted(set(paths)):
        mounted.docker.arguments += ["--volume", f"{path}:{path}"]
    return mounted
