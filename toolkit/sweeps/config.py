"""`HyperDriveConfig`: a sweep, checked when it is made, frozen once when it is submitted."""

from __future__ import annotations

import json
import secrets
import sys
import time
import uuid
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any

from toolkit.configuration import NO_LIMIT
from toolkit.errors import UserErrorException
from toolkit.script_run_config import ScriptRunConfig
from toolkit.sweeps.policies import EarlyTerminationPolicy, NoTerminationPolicy
from toolkit.sweeps.sampling import HyperParameterSampling

if TYPE_CHECKING:
    from toolkit.experiment import Experiment
    from toolkit.run import Run
    from toolkit.run_configuration import RunConfiguration
    from toolkit.sweeps.run import HyperDriveRun
    from toolkit.workspace import Workspace

RUN_TYPE = "hyperdrive"
MAX_DURATION_MINUTES = 10080  # a week
MOST_RUNS = 1000
# Where controllers run: on this machine, in a pool of their own, so that they take no slot from the children. It is in
# no workspace.yaml: its settings are in the definition of the run.
TARGET = "sweep controllers"
TARGET_SETTINGS = {"type": "local", "slots": NO_LIMIT}


class HyperDriveConfigException(UserErrorException):
    """A sweep that cannot work as it was asked for."""


class PrimaryMetricGoal(Enum):
    """Whether the primary metric is to be large or small."""

    MAXIMIZE = "MAXIMIZE"
    MINIMIZE = "MINIMIZE"

    @staticmethod
    def from_str(goal: str) -> PrimaryMetricGoal:
        """The goal of this name, in capitals or not.

        Raises:
            ValueError: there is none.
        """
        try:
            return PrimaryMetricGoal[str(goal).upper()]
        except KeyError:
            raise ValueError(f"the goal is {goal!r}: it can be MAXIMIZE or MINIMIZE") from None


class HyperDriveConfig:
    """A sweep: a script that is run again and again with other values of its parameters. Submit it like a script.

    Each child gets `--name value` for each parameter, in place of an argument of that name or behind the others.

    Args:
        hyperparameter_sampling: grid, random or Bayesian sampling of a space of parameters.
        primary_metric_name: what the children log with `run.log`, and what decides.
        primary_metric_goal: PrimaryMetricGoal.MAXIMIZE or MINIMIZE.
        max_total_runs: the most children; a grid ends earlier when it is through.
        max_concurrent_runs: the most children at once; None for all.
        max_duration_minutes: then the children that still run are cancelled.
        policy: when a child is ended early; None for never.
        estimator: the script, as an `Estimator`.
        run_config: the script, as a `ScriptRunConfig`.
        resume_from: earlier sweeps to learn from.
        resume_child_runs: children of earlier sweeps that go on first, with their values: each gets
            `--resume-from FOLDER`, its earlier outputs.
        pipeline: not offered.
        custom_run_id: the id of the sweep; by default a random one.

    Raises:
        HyperDriveConfigException: something in it cannot work.
    """

    def __init__(
        self,
        hyperparameter_sampling: HyperParameterSampling,
        primary_metric_name: str,
        primary_metric_goal: PrimaryMetricGoal,
        max_total_runs: int,
        max_concurrent_runs: int | None = None,
        max_duration_minutes: float = MAX_DURATION_MINUTES,
        policy: EarlyTerminationPolicy | None = None,
        estimator: ScriptRunConfig | None = None,
        run_config: ScriptRunConfig | None = None,
        resume_from: HyperDriveRun | Iterable[HyperDriveRun] | None = None,
        resume_child_runs: Run | Iterable[Run] | None = None,
        pipeline: object = None,
        debug_flag: object = None,
        custom_run_id: str | None = None,
    ) -> None:
        self._sampling = hyperparameter_sampling
        self._policy = NoTerminationPolicy() if policy is None else policy
        self._metric = primary_metric_name
        self._goal = primary_metric_goal
        self._total = max_total_runs
        self._concurrent = max_concurrent_runs
        self._minutes = max_duration_minutes
        self._estimator = estimator
        self._script = run_config
        self._resume_from = _several(resume_from)
        self._resume_children = _several(resume_child_runs)
        self._run_id = custom_run_id
        if pipeline is not None:
            raise HyperDriveConfigException("a sweep of a pipeline is not offered: give run_config a ScriptRunConfig")
        self._check()

    def _check(self) -> None:
        for what, value, kind in (
            ("hyperparameter_sampling", self._sampling, HyperParameterSampling),
            ("primary_metric_goal", self._goal, PrimaryMetricGoal),
            ("policy", self._policy, EarlyTerminationPolicy),
        ):
            if not isinstance(value, kind):
                raise HyperDriveConfigException(f"{what} is {value!r}: it takes a {kind.__name__}")
        if not isinstance(self._metric, str) or not self._metric:
            raise HyperDriveConfigException(f"primary_metric_name is {self._metric!r}: it is the name of a metric")
        for what, number in (("max_total_runs", self._total), ("max_concurrent_runs", self._concurrent)):
            if number is None and what == "max_concurrent_runs":
                continue
            if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MOST_RUNS:
                raise HyperDriveConfigException(f"{what} is {number!r}: it must be from 1 to {MOST_RUNS}")
        if isinstance(self._minutes, bool) or not isinstance(self._minutes, (int, float)) or self._minutes <= 0:
            raise HyperDriveConfigException(f"max_duration_minutes is {self._minutes!r}: it must be above 0")
        if (self._estimator is None) == (self._script is None):
            raise HyperDriveConfigException("give either run_config, a ScriptRunConfig, or estimator")
        if not isinstance(self._config, ScriptRunConfig):
            raise HyperDriveConfigException(
                f"a sweep takes a ScriptRunConfig as run_config, or an Estimator, not a {type(self._config).__name__}"
            )
        if self._config.command_line:
            raise HyperDriveConfigException("a sweep gives arguments to a script: give it a script and not a command")

    @property
    def _config(self) -> ScriptRunConfig:
        config = self._estimator if self._estimator is not None else self._script
        assert config is not None
        return config

    @property
    def estimator(self) -> ScriptRunConfig | None:
        return self._estimator

    @property
    def run_config(self) -> RunConfiguration:
        """The run configuration of the children."""
        return self._config.run_config

    @property
    def pipeline(self) -> None:
        """None: a sweep of a pipeline is not offered."""
        return None

    @property
    def source_directory(self) -> str:
        return self._config.source_directory

    def submit_to(self, experiment: Experiment, tags: dict[str, str], parent: str | None = None) -> HyperDriveRun:
        """Freeze the script once, and start the sweep: see `Experiment.submit`. `parent` is the run it is a child of.

        Raises:
            UserErrorException: something in the script's configuration cannot work; nothing was written.
        """
        from toolkit import submit
        from toolkit.sweeps.run import HyperDriveRun

        if self._run_id is not None:
            submit.check_id(experiment, self._run_id)
        child, diff = submit.freeze(experiment, self._config, {})
        definition = {**self._definition(child, tags), "parent": parent}
        self._say_what_limits(experiment.workspace, child["target"], definition["hyperdrive"]["max_concurrent_runs"])
        submit.start(experiment, definition, diff)
        return HyperDriveRun(experiment, definition["id"], hyperdrive_config=self)

    def _say_what_limits(self, workspace: Workspace, target: str, at_once: int) -> None:
        """Say so where the target runs fewer children at once than the sweep asks for by itself."""
        from toolkit.targets import registry

        configuration = workspace.configuration
        pool = str(configuration.compute_targets[target].get("shares", target))
        settings = configuration.compute_targets[pool]
        kind = registry.kind(str(settings["type"]))
        key = "max_concurrent_runs" if kind and "max_concurrent_runs" in kind.settings else "slots"
        limit = configuration.slots(target) if key == "slots" else int(settings.get(key, at_once))
        if self._concurrent is not None and limit < at_once:
            print(
                f"toolkit: the sweep asks for {at_once} runs at once and compute target '{pool}' takes {limit}, so the "
                f"others wait; for more set {key} of '{pool}' in {workspace.paths.configuration}",
                file=sys.stderr,
            )

    def _definition(self, child: dict[str, Any], tags: dict[str, str]) -> dict[str, Any]:
        """The run that submits and watches the children: its own process, and all that it needs to know of them."""
        sweep = self._sweep(child)
        texts = {key: json.dumps(sweep[key]) for key in ("sampling", "policy", "primary_metric")}
        system = {
            "max_concurrent_jobs": str(sweep["max_concurrent_runs"]),
            "max_total_jobs": str(sweep["max_total_runs"]),
            "max_duration_minutes": str(sweep["max_duration_minutes"]),
            "policy_config": texts["policy"],
            "generator_config": texts["sampling"],
            "primary_metric_config": texts["primary_metric"],
        }
        environment = child["environment"]
        return {
            **child,
            "id": self._run_id or f"HD_{uuid.uuid4()}",
            "type": RUN_TYPE,
            "target": TARGET,
            "target_settings": TARGET_SETTINGS,
            "arguments": [],
            "data": {},
            "distributed": None,
            "environment": {
                "name": environment["name"],
                "version": environment.get("version"),
                "user_managed": True,
                "interpreter": sys.executable,
                "variables": {},
                "docker": {},
            },
            "environment_variables": {},
            "max_run_duration_seconds": None,
            "submitted": time.time(),
            "tags": {**{f"_aml_system_{name}": text for name, text in system.items()}, **tags},
            "properties": {
                **child["properties"],
                "runTemplate": "HyperDrive",
                "azureml.runsource": "hyperdrive",
                "platform": "AML",
                "primary_metric_config": texts["primary_metric"],
                "resume_from": json.dumps(sweep["resume_from"]),
            },
            "hyperdrive": sweep,
        }

    def _sweep(self, child: dict[str, Any]) -> dict[str, Any]:
        sampling = self._sampling.to_json()
        sampling["properties"] = {"seed": secrets.randbelow(2**31), **sampling.get("properties", {})}
        total = int(min(self._total, self._sampling.size))
        earlier = [one for sweep in self._resume_from for one in sweep._outcomes()]
        resumed = [_resumed(run) for run in self._resume_children]
        return {
            "sampling": sampling,
            "policy": self._policy.to_json(),
            "primary_metric": {"name": self._metric, "goal": self._goal.name.lower()},
            "max_total_runs": total,
            "max_concurrent_runs": min(self._concurrent or total, total),
            "max_duration_minutes": self._minutes,
            "child": {key: value for key, value in child.items() if key not in ("id", "number", "submitted")},
            "resume_from": [sweep.id for sweep in self._resume_from],
            "earlier": earlier,
            "resumed": resumed,
        }


class HyperDriveRunConfig(HyperDriveConfig):
    """The older name of `HyperDriveConfig`, which takes the script as an estimator."""

    def __init__(
        self,
        estimator: ScriptRunConfig | None = None,
        hyperparameter_sampling: HyperParameterSampling | None = None,
        primary_metric_name: str = "",
        primary_metric_goal: PrimaryMetricGoal = PrimaryMetricGoal.MAXIMIZE,
        max_total_runs: int = 0,
        max_concurrent_runs: int | None = None,
        max_duration_minutes: float = MAX_DURATION_MINUTES,
        policy: EarlyTerminationPolicy | None = None,
        run_config: ScriptRunConfig | None = None,
    ) -> None:
        super().__init__(
            hyperparameter_sampling,  # type: ignore[arg-type]  # refused by the check where it is missing
            primary_metric_name,
            primary_metric_goal,
            max_total_runs,
            max_concurrent_runs,
            max_duration_minutes,
            policy,
            estimator,
            run_config,
        )


def _several(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, Iterable) else [given]


def _resumed(run: Run) -> dict[str, Any]:
    values = (run._definition().get("hyperparameters") or {}) if hasattr(run, "_definition") else {}
    if not values:
        raise HyperDriveConfigException(f"resume_child_runs: {run!r} is not a child of a sweep")
    return {"values": values, "from": run.directory.outputs}
