"""What a script logs by MLflow itself (`mlflow.log_metric`, autologging), kept in the run's folder as well.

It is written as one more file of the spool, whole each time, so that `get_metrics`, sweeps and the catalogue read it as
they read all else; the tracker alone does not carry that file back.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from toolkit.inscript.files import read_json, write_text
from toolkit.inscript.rundir import RunDirectory

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

SPOOL_FILE = "mlflow.jsonl"
EVERY_SECONDS = 2.0  # while the run goes on
SHARE_OF_TIME = 0.05


class MlflowCalls:
    """Copies metrics of an MLflow run that did not come from the spool into it."""

    def __init__(self, directory: RunDirectory, client: MlflowClient) -> None:
        self._directory = directory
        self._client = client
        self._histories: dict[str, list[Metric]] = {}
        self._next = 0.0

    def copy(self, mlflow_run_id: str, ours: Collection[str], final: bool) -> None:
        """Copy what is new.

        Args:
            ours: the names of metrics that come from the spool.
            final: the run has ended; while it goes on, only scripts that MLflow was told of are looked at.
        """
        began = time.monotonic()
        if not final and (began < self._next or not self._may_call()):
            return
        if self._fetch(mlflow_run_id, ours, final):
            path = os.path.join(self._directory.spool, SPOOL_FILE)
            os.makedirs(self._directory.spool, mode=0o700, exist_ok=True)
            write_text(path, "".join(self._lines()))
        spent = time.monotonic() - began
        self._next = time.monotonic() + max(EVERY_SECONDS, spent / SHARE_OF_TIME)

    def _may_call(self) -> bool:
        """Whether the script was told its MLflow run: then its environment has MLflow."""
        return "MLFLOW_RUN_ID" in read_json(self._directory.plan, {}).get("environment", {})

    def _fetch(self, mlflow_run_id: str, ours: Collection[str], all_of_them: bool) -> bool:
        """Ask for the histories of metrics whose last value has changed, or of all. True where some are new."""
        changed = False
        for name, value in self._client.get_run(mlflow_run_id).data.metrics.items():
            known = self._histories.get(name)
            if name in ours or (known and repr(known[-1].value) == repr(value) and not all_of_them):
                continue  # compared as text: a NaN is not equal to itself
            self._histories[name] = self._client.get_metric_history(mlflow_run_id, name)
            changed = True
        return changed

    def _lines(self) -> list[str]:
        found = [metric for history in self._histories.values() for metric in history]
        found.sort(key=lambda metric: (metric.timestamp, metric.step))
        return [
            json.dumps(
                {
                    "kind": "metric",
                    "name": metric.key,
                    "step": metric.step,
                    "time": metric.timestamp / 1000,
                    "value": metric.value,
                }
            )
            + "\n"
            for metric in found
        ]
