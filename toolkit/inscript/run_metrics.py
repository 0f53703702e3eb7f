"""What a run logs: scalars, lists, tables, images, and the structured values of Azure ML SDK v1."""

import io
import json
import os
from typing import Any, Dict, Optional

from toolkit.inscript import metrics
from toolkit.inscript.files import read_json
from toolkit.inscript.run_files import RunFiles
from toolkit.inscript.spool import read_all
from toolkit.inscript.values import is_many, to_list, to_scalar, to_text, warn_once

LARGEST_STEP = 2**63 - 1  # what a database holds


class RunMetrics(RunFiles):
    """The part of a run that logs. No call raises into the training."""

    def log(self, name: str, value: object, description: str = "", step: Optional[int] = None) -> None:
        """Log one number (or text) under `name`; calling again with the same name makes a curve.

        Args:
            step: the position on the curve; by itself it counts 0, 1, 2, … for each name.
        """
        if type(value) is not float:
            if is_many(value):
                warn_once("list " + str(name), "'%s' was given several values: kept as log_list does" % name)
                self.log_list(name, value)
                return
            value = to_scalar(name, value)
        if step is not None and not (isinstance(step, int) and -LARGEST_STEP <= step <= LARGEST_STEP):
            step = _to_step(name, step)
        self._spool.metric(name if type(name) is str else str(name), value, step)

    def log_list(self, name: str, value: object, description: str = "") -> None:
        """Log a list of scalars; lists under one name are joined. An empty list stores nothing."""
        values = to_list(name, value)
        if values:
            self._spool.series("list", str(name), values, len(values))

    def log_row(self, name: str, description: Optional[str] = None, **kwargs: object) -> None:
        """Log one row of the table `name`: `log_row("fit", epoch=1, loss=0.3)`."""
        row = {column: [to_scalar("%s.%s" % (name, column), cell)] for column, cell in kwargs.items()}
        if row:
            self._spool.series("table", str(name), row, 1)

    def log_table(self, name: str, value: Any, description: str = "") -> None:
        """Log a table, `{column: [cells]}` or `{column: cell}`; rows under one name follow each other."""
        try:
            columns = {
                str(column): to_list("%s.%s" % (name, column), cells) if is_many(cells) else [to_scalar(name, cells)]
                for column, cells in value.items()
            }
        except AttributeError:
            warn_once("table " + str(name), "'%s' is not a table {column: [cells]}: its text is kept" % name)
            columns = {"value": [to_text(value)]}
        if columns:
            self._spool.series("table", str(name), columns, max(len(cells) for cells in columns.values()))

    def log_image(
        self, name: str, path: Optional[str] = None, plot: Optional[Any] = None, description: str = ""
    ) -> None:
        """Log an image: a file, or a matplotlib figure (or `pyplot` itself), stored as `<name>_<n>.png`."""
        if (path is None) == (plot is None):
            warn_once(
                "image " + str(name),
                "log_image('%s') takes a path or a plot, one of them: nothing was kept" % name,
            )
            return
        try:
            if path is not None:
                artifact = str(name) + os.path.splitext(path)[1]
                self._store(artifact, path)
            else:
                artifact = self._store_plot(str(name), plot)
        except Exception as error:
            warn_once("image " + str(name), "log_image('%s') failed: %s. The script goes on" % (name, error))
            return
        self._spool.record("image", name=str(name), value=artifact)

    def _store_plot(self, name: str, plot: Any) -> str:
        count = 0
        while os.path.exists(os.path.join(self._directory.artifacts, "%s_%d.png" % (name, count))):
            count += 1
        artifact = "%s_%d.png" % (name, count)
        target = self._artifact_path(artifact)
        staging = target + ".tmp.png"
        plot.savefig(staging, format="png")
        os.replace(staging, target)
        self._spool.record("file", name=artifact)
        return artifact

    def log_confusion_matrix(self, name: str, value: Any, description: str = "") -> None:
        """Log a confusion matrix: the dictionary (or its JSON text) with `schema_type`, `schema_version` and `data`."""
        self._log_structured("confusion_matrix", name, value)

    def log_accuracy_table(self, name: str, value: Any, description: str = "") -> None:
        """Log an accuracy table: the dictionary (or its JSON text) with `schema_type`, `schema_version` and `data`."""
        self._log_structured("accuracy_table", name, value)

    def log_residuals(self, name: str, value: Any, description: str = "") -> None:
        """Log residuals: the dictionary (or its JSON text) with `schema_type`, `schema_version` and `data`."""
        self._log_structured("residuals", name, value)

    def log_predictions(self, name: str, value: Any, description: str = "") -> None:
        """Log predictions: the dictionary (or its JSON text) with `schema_type`, `schema_version` and `data`."""
        self._log_structured("predictions", name, value)

    def _log_structured(self, kind: str, name: str, value: Any) -> None:
        """Keep a structured value whole, as a JSON artifact called like the metric; the tracker draws it."""
        try:
            content = json.loads(value) if isinstance(value, (str, bytes)) else value
            if not isinstance(content, dict):
                raise ValueError("it is a %s" % type(content).__name__)
            text = json.dumps(content, default=_plain)
        except (TypeError, ValueError, UnicodeDecodeError) as error:
            warn_once(
                "%s %s" % (kind, name),
                "Invalid JSON provided: log_%s('%s') takes a dictionary, or its JSON text, with schema_type, "
                "schema_version and data (%s): nothing was kept" % (kind, name, error),
            )
            return
        artifact = "%s.json" % name
        try:
            self._store(artifact, io.BytesIO(text.encode("utf-8")))
        except Exception as error:
            warn_once("%s %s" % (kind, name), "log_%s('%s') failed: %s. The script goes on" % (kind, name, error))
            return
        self._spool.record(kind, name=str(name), value=artifact)

    def _metrics(self, name: Optional[str], populate: bool) -> Dict[str, Any]:
        """What this run logged, in the shapes of `metrics.collect`; with `populate`, JSON artifacts in place."""
        records = read_all(self._directory.spool)
        found = metrics.collect(records, name)
        if populate:
            for record in records:
                wanted = record.get("kind") in metrics.ARTIFACT_KINDS and record["name"] in found
                if wanted and str(record.get("value")).endswith(".json"):
                    found[record["name"]] = read_json(self._artifact_name(record["value"]), record["value"])
        return found


def _plain(value: Any) -> Any:
    """What JSON does not know, as what it does: arrays and tensors are lists, their scalars numbers."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "item"):
        return value.item()
    raise TypeError("a %s is no JSON" % type(value).__name__)


def _to_step(name: str, step: Any) -> Optional[int]:
    try:
        whole = int(step)
        if -LARGEST_STEP <= whole <= LARGEST_STEP:
            return whole
    except (TypeError, ValueError, OverflowError):
        pass
    warn_once("step of " + str(name), "the step of '%s' is not a whole number of 64 bits: counted instead" % name)
    return None
