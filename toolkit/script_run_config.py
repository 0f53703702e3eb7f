"""`ScriptRunConfig` and `RunConfiguration`: this folder, this script, this environment, that compute target."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from toolkit.environment import Environment
from toolkit.errors import UserErrorException

if TYPE_CHECKING:
    from toolkit.conda_dependencies import CondaDependencies

MAX_DURATION_SECONDS_DEFAULT = 30 * 24 * 3600


class RunConfiguration:
    """What is not the sources: target, environment, limits. `ScriptRunConfig.run_config` is one.

    Attributes:
        target: the name of the compute target.
        environment: the environment of the run.
        environment_variables: variables set for the script.
        max_run_duration_seconds: the longest the script may run, in seconds; None for the default of 30 days.
        node_count: 1; more nodes come with the cluster targets.
    """

    def __init__(
        self,
        script: str | None = None,
        arguments: list[Any] | None = None,
        framework: str | None = None,
        communicator: str | None = None,
        conda_dependencies: CondaDependencies | None = None,
        command: list[str] | str | None = None,
    ) -> None:
        self.script = script
        self.arguments = list(arguments or [])
        self.command = command
        self.framework = framework or "Python"
        self.communicator = communicator or "None"
        self.environment = Environment("default-environment")
        if conda_dependencies is not None:
            self.environment.python.conda_dependencies = conda_dependencies
        self.environment_variables: dict[str, str] = {}
        self.max_run_duration_seconds: float | None = None
        self.node_count = 1
        self._target = "local"

    @property
    def target(self) -> str:
        return self._target

    @target.setter
    def target(self, target: object) -> None:
        self._target = target_name(target)


class ScriptRunConfig:
    """A script to run: submit it with `Experiment.submit`.

    Args:
        source_directory: the folder that is frozen into a snapshot; in the run it is the working directory.
        script: the script, relative to `source_directory`.
        arguments: its arguments; numbers become text, `$NAME` is expanded where the script starts.
        run_config: a `RunConfiguration`, instead of the arguments that follow.
        compute_target: a name or a `ComputeTarget`; None is "local".
        environment: the environment; None is the interpreter that submits.
        max_run_duration_seconds: the longest the script may run, in seconds.
        command: a shell command instead of `script`: a list is joined with blanks.

    Raises:
        UserErrorException: neither or both of `script` and `command`.
    """

    MAX_DURATION_SECONDS_DEFAULT = MAX_DURATION_SECONDS_DEFAULT

    def __init__(
        self,
        source_directory: str | os.PathLike[str],
        script: str | None = None,
        arguments: list[Any] | None = None,
        run_config: RunConfiguration | None = None,
        _telemetry_values: object = None,
        compute_target: object = None,
        environment: Environment | None = None,
        distributed_job_config: object = None,
        resume_from: object = None,
        max_run_duration_seconds: float | None = MAX_DURATION_SECONDS_DEFAULT,
        command: list[str] | str | None = None,
        docker_runtime_config: object = None,
    ) -> None:
        self.source_directory = os.fspath(source_directory) if source_directory is not None else "."
        self.script = script if script is not None or run_config is None else run_config.script
        self.command = command if command is not None or run_config is None else run_config.command
        self.arguments = arguments if arguments is not None or run_config is None else run_config.arguments
        if self.script and self.command:
            raise UserErrorException("ScriptRunConfig takes a script or a command, not both")
        if self.command and self.arguments:
            raise UserErrorException("arguments are a script's: write those of a command into the command itself")
        _refuse_not_offered(
            distributed_job_config=distributed_job_config,
            docker_runtime_config=docker_runtime_config,
            resume_from=resume_from,
        )
        self.run_config = run_config or self._configured(compute_target, environment, max_run_duration_seconds)
        if run_config is not None and (compute_target is not None or environment is not None):
            warnings.warn(
                "run_config is given, so compute_target, environment and max_run_duration_seconds are ignored: "
                "set them on run_config",
                stacklevel=2,
            )

    @staticmethod
    def _configured(target: object, environment: Environment | None, seconds: float | None) -> RunConfiguration:
        run_config = RunConfiguration()
        if target is not None:
            run_config.target = target_name(target)
        if environment is not None:
            run_config.environment = environment
        run_config.max_run_duration_seconds = seconds
        return run_config

    @property
    def command_line(self) -> list[str]:
        """The shell command as a list of words, or [] for a script."""
        return [self.command] if isinstance(self.command, str) else [str(part) for part in self.command or []]

    @property
    def argument_list(self) -> list[str]:
        """The arguments as text.

        Raises:
            UserErrorException: an argument that is not text, a number or a path.
        """
        if isinstance(self.arguments, (str, bytes)) or not isinstance(self.arguments or [], Iterable):
            raise UserErrorException(f"arguments must be a list, as in ['--lr', 0.1], not {self.arguments!r}")
        return [_argument(value) for value in self.arguments or []]


def _refuse_not_offered(**given: object) -> None:
    """Refuse what Azure ML SDK v1 took and the toolkit would otherwise leave out in silence."""
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise UserErrorException(f"{' and '.join(names)}: not offered yet, leave it out")


def _argument(value: object) -> str:
    if isinstance(value, (str, bool, int, float, os.PathLike)):
        return str(value)
    raise UserErrorException(
        f"the argument {value!r} is a {type(value).__name__}; arguments are text, numbers or paths"
    )


def target_name(target: object) -> str:
    """The name of a compute target that is given by name or as an object."""
    name = target if isinstance(target, str) else getattr(target, "name", None)
    if not isinstance(name, str) or not name:
        raise UserErrorException(f"compute_target is {target!r}: give the name of a compute target, or a ComputeTarget")
    return name
