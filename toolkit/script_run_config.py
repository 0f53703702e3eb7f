"""`ScriptRunConfig`: this folder, this script, this environment, that compute target."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import Any

from toolkit import distributed
from toolkit.docker_configuration import DockerConfiguration
from toolkit.environment import Environment
from toolkit.errors import UserErrorException
from toolkit.run_configuration import RunConfiguration, target_name

__all__ = ["MAX_DURATION_SECONDS_DEFAULT", "RunConfiguration", "ScriptRunConfig", "target_name"]
MAX_DURATION_SECONDS_DEFAULT = 30 * 24 * 3600


class ScriptRunConfig:
    """A script to run: submit it with `Experiment.submit`.

    Args:
        source_directory: the folder that is frozen into a snapshot; in the run it is the working directory.
        script: the script, relative to `source_directory`.
        arguments: its arguments; numbers become text, data becomes a path, `$NAME` is expanded where the script starts.
        run_config: a `RunConfiguration`, instead of the arguments that follow.
        compute_target: a name or a `ComputeTarget`; None is "local".
        environment: the environment; None is the interpreter that submits.
        distributed_job_config: an `MpiConfiguration`, `PyTorchConfiguration` or `TensorflowConfiguration`.
        resume_from: a `DataPath`, or an earlier run: the script is given its outputs as `--resume-from FOLDER`.
        max_run_duration_seconds: the longest the script may run, in seconds.
        command: a shell command instead of `script`: a list is joined with blanks.
        docker_runtime_config: a `DockerConfiguration`.

    Raises:
        UserErrorException: neither or both of `script` and `command`.
    """

    MAX_DURATION_SECONDS_DEFAULT = MAX_DURATION_SECONDS_DEFAULT

    def __init__(
        self,
        source_directory: str | os.PathLike[str],
        script: str | os.PathLike[str] | None = None,
        arguments: list[Any] | None = None,
        run_config: RunConfiguration | None = None,
        _telemetry_values: object = None,
        compute_target: object = None,
        environment: Environment | None = None,
        distributed_job_config: distributed.Job | None = None,
        resume_from: object = None,
        max_run_duration_seconds: float | None = MAX_DURATION_SECONDS_DEFAULT,
        command: list[str] | str | None = None,
        docker_runtime_config: DockerConfiguration | None = None,
    ) -> None:
        self.source_directory = os.fspath(source_directory) if source_directory is not None else "."
        script = script if script is not None or run_config is None else run_config.script
        self.script = os.fspath(script) if isinstance(script, os.PathLike) else script
        self.command = command if command is not None or run_config is None else run_config.command
        self.arguments = arguments if arguments is not None or run_config is None else run_config.arguments
        if self.script and self.command:
            raise UserErrorException("ScriptRunConfig takes a script or a command, not both")
        if self.command and self.arguments:
            raise UserErrorException("arguments are a script's: write those of a command into the command itself")
        if resume_from is not None:
            self.arguments = [*(self.arguments or []), "--resume-from", _resumed(resume_from)]
        given = {
            "compute_target": compute_target,
            "environment": environment,
            "distributed_job_config": distributed_job_config,
            "docker_runtime_config": docker_runtime_config,
        }
        if run_config is None:
            self.run_config = RunConfiguration()
            self.run_config.max_run_duration_seconds = max_run_duration_seconds
            self._configure(compute_target, environment, distributed_job_config, docker_runtime_config)
            return
        self.run_config = run_config
        ignored = [name for name, value in given.items() if value is not None]
        if ignored:
            warnings.warn(
                f"run_config is given, so {' and '.join(ignored)} {'are' if ignored[1:] else 'is'} ignored: "
                "set them on run_config",
                stacklevel=2,
            )

    def _configure(
        self,
        target: object,
        environment: Environment | None,
        job: distributed.Job | None,
        docker: DockerConfiguration | None,
    ) -> None:
        if target is not None:
            self.run_config.target = target_name(target)
        if environment is not None:
            if not hasattr(environment, "python"):  # the class itself costs an import
                raise UserErrorException(
                    f"environment is {environment!r}: it takes an Environment, as Environment.get gives"
                )
            self.run_config.environment = environment
        if job is not None:
            distributed.use(self.run_config, job)
        if docker is not None:
            if not isinstance(docker, DockerConfiguration):
                raise UserErrorException(f"docker_runtime_config is {docker!r}: it takes a DockerConfiguration")
            self.run_config.docker = docker

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


def _resumed(source: object) -> object:
    """The argument that names what a run resumes from: data, or the outputs of an earlier run as a path."""
    from toolkit.inscript.run import Run

    if isinstance(source, Run):
        return source._directory.outputs
    from toolkit.data.data_reference import DataPath, DataReference

    if isinstance(source, DataPath):
        return source.create_data_reference("resume_from")
    if isinstance(source, DataReference):
        return source
    raise UserErrorException(f"resume_from is {source!r}: it takes a DataPath, or a run")


def _argument(value: object) -> str:
    if isinstance(value, (str, bool, int, float, os.PathLike)):
        return str(value)
    raise UserErrorException(
        f"the argument {value!r} is a {type(value).__name__}; arguments are text, numbers or paths"
    )
