"""One run on its way into MLflow: every step may be repeated, and what is done is written down after it."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from toolkit import status
from toolkit.agent import figures
from toolkit.agent.artifacts import Artifacts
from toolkit.agent.mlflow_calls import SPOOL_FILE, MlflowCalls
from toolkit.agent.translate import TAG_LENGTH, Batch, is_typed, mlflow_name, params, table_artifacts, translate
from toolkit.errors import UserErrorException
from toolkit.inscript import spool
from toolkit.inscript.files import read_json, write_json
from toolkit.inscript.metrics import ARTIFACT_KINDS
from toolkit.inscript.rundir import RunDirectory
from toolkit.phases import seconds_of_phases

if TYPE_CHECKING:
    from mlflow import MlflowClient

METRICS_A_BATCH = 1000
TAGS_A_BATCH = 100
BYTES_A_READ = 1 << 20  # several batches: only the last of them is not full
READS_A_TURN = 4  # then the next run has its turn

MLFLOW_STATUS = {
    status.COMPLETED: "FINISHED",
    status.FAILED: "FAILED",
    status.CANCELED: "KILLED",
    status.RUNNING: "RUNNING",
    status.CANCEL_REQUESTED: "RUNNING",
    status.NOT_RESPONDING: "RUNNING",
    status.FINALIZING: "RUNNING",
}
RUN_ID_TAG = "toolkit.run_id"


class TrackedRun:
    """Carries one run directory into one MLflow run. `advance()` does what is due; errors of MLflow pass through."""

    def __init__(
        self,
        directory: RunDirectory,
        client: MlflowClient,
        experiment_id: Callable[[str], str],
        mlflow_run_id: Callable[[str], str],
        announce: Callable[[], None],
    ) -> None:
        """`experiment_id` gives the id of an experiment by name, `mlflow_run_id` that of the MLflow run of a run of
        ours; `announce` says that MLflow knows the run now.
        """
        self.directory = directory
        self._client = client
        self._experiment_id = experiment_id
        self._id_of_run = mlflow_run_id
        self._announce = announce
        self._definition: dict[str, Any] = read_json(directory.definition, {})
        self._state: dict[str, Any] = read_json(directory.tracking, {})
        self.has_more = False
        self._mlflow_calls = MlflowCalls(directory, client)
        self._artifacts = Artifacts(directory, client, self._state.setdefault("artifacts", {}))

    @property
    def exists(self) -> bool:
        return bool(self._definition)

    def advance(self) -> bool:
        """Bring MLflow up to date. True when the run has ended and MLflow has all of it."""
        self.begin()
        event = status.last_event(self.directory)  # read first: what was logged before it is drained after it
        whole = self._drain()
        self.has_more = not whole
        self._report_status(event)
        ended = event.status in status.TERMINAL or event.status == status.FINALIZING
        self._mlflow_calls.copy(self.mlflow_run_id, self._our_metrics(), final=ended and whole)
        self._artifacts.upload(self.mlflow_run_id, final=ended and whole)
        if not ended or not whole:
            self._save()
            return False
        self._close(event)
        return True

    def begin(self) -> None:
        """See that MLflow has a run for it."""
        if "creating" not in self._state or self._state["creating"]:
            self._create()

    def is_over_and_deleted(self) -> bool:
        """Whether the run has ended and somebody has deleted it in MLflow."""
        event = status.last_event(self.directory)
        if "mlflow_run_id" not in self._state or event.status not in {*status.TERMINAL, status.FINALIZING}:
            return False
        found = self._client.get_run(self.mlflow_run_id)
        return bool(found.info.lifecycle_stage == "deleted")

    @property
    def mlflow_run_id(self) -> str:
        return str(self._state["mlflow_run_id"])

    def _save(self) -> None:
        write_json(self.directory.tracking, self._state)

    # -- the MLflow run -------------------------------------------------------------------------------------------

    def _create(self) -> None:
        experiment_id = self._experiment_id(self._definition["experiment"])
        known = self._state.get("mlflow_run_id")
        if self._state.get("creating") and known is None:  # ended in the middle of it once: it may be there
            found = self._client.search_runs(
                [experiment_id], f"tags.`{RUN_ID_TAG}` = '{self.directory.id}'", max_results=1
            )
            known = found[0].info.run_id if found else None
        self._state["creating"] = True
        self._save()
        if known is None:
            submitted = int(self._definition["submitted"] * 1000)
            name = self._definition.get("display_name") or self.directory.id
            run = self._client.create_run(experiment_id, start_time=submitted, tags=self._first_tags(), run_name=name)
            known = run.info.run_id
        self._state.update(mlflow_run_id=known, experiment_id=experiment_id)
        self._save()
        self._announce()  # a script may wait for it
        self._log_params()
        self._state["creating"] = False
        self._save()

    def _first_tags(self) -> dict[str, str]:
        definition = self._definition
        git = definition.get("git") or {}
        tags = {
            RUN_ID_TAG: self.directory.id,
            "mlflow.parentRunId": self._mlflow_parent(),  # so that MLflow's pages show it below its parent
            "toolkit.target": definition.get("target", ""),
            "toolkit.snapshot_id": (definition.get("snapshot") or {}).get("id", ""),
            "toolkit.environment": (definition.get("environment") or {}).get("name", ""),
            "mlflow.user": definition.get("user", ""),
            "mlflow.source.name": definition.get("script") or " ".join(definition.get("command") or []),
            "mlflow.source.type": "LOCAL",
            "mlflow.source.git.commit": git.get("commit", ""),
            "mlflow.source.git.branch": git.get("branch", ""),
            "mlflow.source.git.repoURL": git.get("repository_uri", ""),
            "mlflow.note.content": definition.get("description", ""),
            **{mlflow_name(key): value for key, value in (definition.get("tags") or {}).items()},
        }
        return {key: str(value)[:TAG_LENGTH] for key, value in tags.items() if value}

    def _mlflow_parent(self) -> str:
        """The MLflow run of the parent, "" for a run without one."""
        parent = self._definition.get("parent")
        try:
            return self._id_of_run(str(parent)) if parent else ""
        except UserErrorException:  # its folder is gone
            return ""

    def _log_params(self) -> None:
        from mlflow.entities import Param

        found = [Param(key, value) for key, value in params(self._definition.get("arguments") or []).items()]
        for start in range(0, len(found), TAGS_A_BATCH):
            self._client.log_batch(self.mlflow_run_id, params=found[start : start + TAGS_A_BATCH])

    # -- what the script logged -----------------------------------------------------------------------------------

    def has_news(self) -> bool:
        """Whether whole lines are in the spool that MLflow does not have."""
        return any(True for _ in self._news())

    def _news(self) -> Iterator[tuple[str, list[dict[str, Any]], int]]:
        """Of each spool file with something new: its name, the next records, and the offset behind them."""
        for name in spool.files(self.directory.spool):
            if name == SPOOL_FILE:  # which MLflow had first
                continue
            path = os.path.join(self.directory.spool, name)
            offset = self._state.get("offsets", {}).get(name, 0)
            if os.path.getsize(path) > offset:
                records, after = spool.read_from(path, offset, BYTES_A_READ)
                if after > offset:
                    yield name, records, after

    def _drain(self) -> bool:
        """Send what is in the spool and not in MLflow. True when nothing is left."""
        offsets = self._state.setdefault("offsets", {})
        for _ in range(READS_A_TURN):
            moved = False
            for name, records, after in self._news():
                self._send(translate(records))
                offsets[name] = after
                self._save()
                moved = True
            if not moved:
                return True
        return False

    def _send(self, batch: Batch) -> None:
        from mlflow.entities import Metric, RunTag

        metrics = [Metric(name, value, milliseconds, step) for name, value, milliseconds, step in batch.metrics]
        ours = self._our_metrics()
        ours += sorted({metric.key for metric in metrics}.difference(ours))
        for start in range(0, len(metrics), METRICS_A_BATCH):
            self._client.log_batch(self.mlflow_run_id, metrics=metrics[start : start + METRICS_A_BATCH])
        tags = [RunTag(key, value) for key, value in batch.tags.items() if value is not None]
        for start in range(0, len(tags), TAGS_A_BATCH):
            self._client.log_batch(self.mlflow_run_id, tags=tags[start : start + TAGS_A_BATCH])
        present = self._client.get_run(self.mlflow_run_id).data.tags if None in batch.tags.values() else {}
        for key, value in batch.tags.items():
            if value is None and key in present:
                self._client.delete_tag(self.mlflow_run_id, key)
        if batch.typed:
            self._state["typed"] = True

    def _our_metrics(self) -> list[str]:
        """The names of the metrics that came from the spool. A tracker of before did not note them."""
        if "metrics" not in self._state:
            sent = spool.read_all(self.directory.spool) if self._state.get("offsets") else []
            self._state["metrics"] = sorted({name for name, *_ in translate(sent).metrics})
        names: list[str] = self._state["metrics"]
        return names

    # -- how it goes ----------------------------------------------------------------------------------------------

    def _report_status(self, event: status.Event) -> None:
        """What the run is now, in v1's words as a tag, and in MLflow's as the status."""
        if self._state.get("status") == event.status:
            return
        self._client.set_tag(self.mlflow_run_id, "toolkit.status", event.outcome or event.status)
        wanted = MLFLOW_STATUS.get(event.status, "SCHEDULED")
        if wanted in ("RUNNING", "SCHEDULED") and self._state.get("mlflow_status") != wanted:
            self._client.update_run(self.mlflow_run_id, status=wanted)
            self._state["mlflow_status"] = wanted
        self._state["status"] = event.status

    def _close(self, event: status.Event) -> None:
        """The run has ended: its typed values, its phases, its error, its status, and the mark that all is there."""
        outcome = event.outcome or event.status
        if self._state.get("typed"):
            self._keep_typed()
        self._client.set_tag(self.mlflow_run_id, "toolkit.status", outcome)
        self._client.set_tag(self.mlflow_run_id, "toolkit.seconds", json.dumps(seconds_of_phases(self.directory)))
        if event.error:
            self._client.set_tag(self.mlflow_run_id, "toolkit.error", event.error["message"][:TAG_LENGTH])
        record = read_json(self.directory.exit, {})
        ended = int(record.get("time", event.time or time.time()) * 1000)
        self._client.set_terminated(self.mlflow_run_id, MLFLOW_STATUS[outcome], ended)
        if self._state.get("typed"):
            self._draw_structured()
        self._state.update(status=outcome, mlflow_status=MLFLOW_STATUS[outcome], done=True)
        self._save()

    def _draw_structured(self) -> None:
        """Figures of the confusion matrices and the like that were logged."""
        values = {
            record["name"]: (record["kind"], os.path.join(self.directory.artifacts, record["value"]))
            for record in spool.read_all(self.directory.spool)
            if record.get("kind") in ARTIFACT_KINDS and record["kind"] != "image"
        }
        with tempfile.TemporaryDirectory() as folder:
            wanted = [
                (kind, path, os.path.join(folder, f"{mlflow_name(name).replace('/', '_')}.png"))
                for name, (kind, path) in values.items()
            ]
            for figure in figures.draw(wanted):
                self._client.log_artifact(self.mlflow_run_id, figure, "figures")

    def _keep_typed(self) -> None:
        """Lists, tables, images and texts as they were logged, so that they read back the same from anywhere."""
        records = spool.read_all(self.directory.spool)
        lines = "".join(json.dumps(record) + "\n" for record in records if is_typed(record))
        self._client.log_text(self.mlflow_run_id, lines, "toolkit/metrics.jsonl")
        tables = table_artifacts(records)
        for name, table in tables.items():
            self._client.log_text(self.mlflow_run_id, json.dumps(table), name)
        if tables:
            shown = json.dumps([{"path": name, "type": "table"} for name in tables])
            self._client.set_tag(self.mlflow_run_id, "mlflow.loggedArtifacts", shown[:TAG_LENGTH])
