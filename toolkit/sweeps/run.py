"""`HyperDriveRun`: a sweep as a control script sees it."""

from __future__ import annotations

import builtins
import json
import os
from typing import TYPE_CHECKING, Any

from toolkit.run import Run
from toolkit.status import CANCELED, FAILED
from toolkit.sweeps.children import Child, ids
from toolkit.sweeps.config import RUN_TYPE

if TYPE_CHECKING:
    from toolkit.experiment import Experiment
    from toolkit.sweeps.config import HyperDriveConfig


class HyperDriveRun(Run):
    """A run whose children try values of parameters. Cancelling it cancels them.

    Args:
        experiment: the experiment of the run.
        run_id: its id.
        hyperdrive_config: what it was submitted with, where that is at hand.

    Raises:
        UserErrorException: the experiment has no such run.
    """

    RUN_TYPE = RUN_TYPE

    def __init__(
        self,
        experiment: Experiment,
        run_id: str,
        hyperdrive_config: HyperDriveConfig | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(experiment, run_id, **kwargs)
        self._hyperdrive_config = hyperdrive_config

    @property
    def hyperdrive_config(self) -> HyperDriveConfig | None:
        """What it was submitted with; None for a sweep of another process."""
        return self._hyperdrive_config

    @property
    def _sweep(self) -> dict[str, Any]:
        sweep: dict[str, Any] = self._definition()["hyperdrive"]
        return sweep

    @property
    def _maximize(self) -> bool:
        return bool(self._sweep["primary_metric"]["goal"] == "maximize")

    def _children(self) -> builtins.list[Child]:
        metric, paths = str(self._sweep["primary_metric"]["name"]), self.experiment.workspace.paths
        return [Child.of(paths.run(run_id), metric) for run_id in ids(self.directory)]

    def _outcomes(self) -> builtins.list[dict[str, Any]]:
        """What the children were given and came to, for a sweep that learns from this one."""
        maximize = self._maximize
        return [{"values": child.values, "metric": child.best(maximize)} for child in self._children() if child.history]

    def get_best_run_by_primary_metric(
        self, include_failed: bool = True, include_canceled: bool = True, include_resume_from_runs: bool = True
    ) -> Run | None:
        """The child with the best primary metric, so far where the sweep goes on; None where none was logged.

        Args:
            include_failed, include_canceled: whether children that ended so count.
            include_resume_from_runs: whether children of the sweeps that this one learnt from count.
        """
        left_out = {status for status, kept in ((FAILED, include_failed), (CANCELED, include_canceled)) if not kept}
        maximize = self._maximize
        children = self._children()
        if include_resume_from_runs:
            for sweep in self._sweep["resume_from"]:
                children += HyperDriveRun(self.experiment, sweep)._children()
        scored = [(child.best(maximize), child) for child in children if child.history and child.status not in left_out]
        if not scored:
            return None
        pick = max if maximize else min
        _, best = pick(scored, key=lambda one: one[0] or 0.0)
        return Run.get(self.experiment.workspace, best.id)

    def get_children_sorted_by_primary_metric(
        self, top: int = 0, reverse: bool = False, discard_no_metric: bool = False
    ) -> builtins.list[dict[str, Any]]:
        """The children, the best first: "run_id", "hyperparameters" (JSON), "best_primary_metric", "status".

        Args:
            top: only so many; 0 for all.
            reverse: the worst first.
            discard_no_metric: leave out those that logged no primary metric, which stand last.
        """
        maximize = self._maximize
        children = self._children()
        scored = sorted(
            (child for child in children if child.history),
            key=lambda child: child.best(maximize) or 0.0,
            reverse=maximize != reverse,
        )
        silent = [] if discard_no_metric else [child for child in children if not child.history]
        found = [
            {
                "run_id": child.id,
                "hyperparameters": json.dumps(child.values),
                "best_primary_metric": child.best(maximize),
                "status": child.status,
            }
            for child in [*scored, *silent]
        ]
        return found[:top] if top else found

    def get_hyperparameters(self) -> dict[str, str]:
        """What each child was given, as JSON, by its id."""
        return {child.id: json.dumps(child.values) for child in self._children()}

    def get_metrics(
        self, name: str | None = None, recursive: bool = False, run_type: str | None = None, populate: bool = False
    ) -> dict[str, dict[str, Any]]:
        """The metrics of each child, by its id."""
        found: dict[str, dict[str, Any]] = super().get_metrics(name, True, run_type, populate)
        found.pop(self.id, None)
        return found

    def get_diagnostics(self) -> str:
        """The log of the sweep, which is printed as well."""
        try:
            with open(os.path.join(self.directory.logs, "hyperdrive.txt"), encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            text = ""
        print(text, end="")
        return text

    def __repr__(self) -> str:
        return f"HyperDriveRun(experiment={self.experiment.name!r}, id={self.id!r}, status={self.status!r})"
