"""From what a run logged to what MLflow can hold: pure, so that a replay gives the same rows again."""

from __future__ import annotations

import functools
import hashlib
import posixpath
import re
from dataclasses import dataclass, field
from typing import Any

from toolkit.inscript.metrics import ARTIFACT_KINDS, rows_of

NAME_LENGTH = 250
PARAM_LENGTH = 6000
TAG_LENGTH = 8000

_ATTRIBUTES = {"display_name": "mlflow.runName", "description": "mlflow.note.content"}

Row = tuple[str, float, int, int]  # name, value, milliseconds since the epoch, step


@dataclass
class Batch:
    """What a list of spool records means to MLflow.

    Attributes:
        metrics: numbers with their times and steps, in the order they were logged.
        tags: tags to set; None removes one.
        typed: whether something was logged that MLflow has no word for: it goes into an artifact.
    """

    metrics: list[Row] = field(default_factory=list)
    tags: dict[str, str | None] = field(default_factory=dict)
    typed: bool = False


def translate(records: list[dict[str, Any]]) -> Batch:
    """The batch for `records`. A record that is not understood is passed over: the spool still has it."""
    batch = Batch()
    for record in records:
        try:
            _add(batch, record)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return batch


def _add(batch: Batch, record: dict[str, Any]) -> None:
    kind = record.get("kind")
    if kind == "metric":
        _scalar(batch, record)
    elif kind == "list":
        _series(batch, record["name"], record["value"], record)
    elif kind == "table":
        _table(batch, record)
    elif kind == "tag":
        batch.tags[mlflow_name(record["name"])] = record["value"][:TAG_LENGTH]
    elif kind == "untag":
        batch.tags[mlflow_name(record["name"])] = None
    elif kind == "attribute":
        batch.tags[_ATTRIBUTES[record["name"]]] = record["value"][:TAG_LENGTH]
    elif kind == "property":
        batch.tags[mlflow_name("toolkit.property." + record["name"])] = record["value"][:TAG_LENGTH]
    batch.typed |= is_typed(record)


def _scalar(batch: Batch, record: dict[str, Any]) -> None:
    value, name = record["value"], record["name"]
    if isinstance(value, (int, float)):
        batch.metrics.append((mlflow_name(name), _number(value), int(record["time"] * 1000), record["step"]))
    else:
        batch.tags[mlflow_name("toolkit.text." + name)] = str(value)[:TAG_LENGTH]


def _series(batch: Batch, name: str, values: list[Any], record: dict[str, Any]) -> None:
    milliseconds, first = int(record["time"] * 1000), int(record.get("step", 0))
    key = mlflow_name(name)
    batch.metrics.extend(
        (key, _number(value), milliseconds, first + index)
        for index, value in enumerate(values)
        if isinstance(value, (int, float))
    )


def _table(batch: Batch, record: dict[str, Any]) -> None:
    """Every numeric column becomes a curve `<table>/<column>` over the rows."""
    for column in record["value"]:
        _series(batch, f"{record['name']}/{column}", [row.get(column) for row in rows_of(record)], record)


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an int beyond the largest float
        return float("inf") if value > 0 else float("-inf")


def is_typed(record: dict[str, Any]) -> bool:
    """Whether MLflow's metrics do not hold all of this record."""
    kind = record.get("kind")
    return kind in ("list", "table", *ARTIFACT_KINDS) or (
        kind == "metric"
        and (isinstance(record.get("value"), bool) or not isinstance(record.get("value"), (int, float)))
    )


@functools.lru_cache(maxsize=4096)
def mlflow_name(name: str) -> str:
    """A name that MLflow takes; one that had to be changed gets a mark of its own, so that no two become one."""
    clean = re.sub(r"[^/\w.\- :]", "_", name)
    clean = posixpath.normpath(clean).lstrip("/") if clean.strip("./ ") else "_"
    if clean.startswith(".."):
        clean = "__" + clean[2:].replace("../", "__/")
    if clean == name and len(name) <= NAME_LENGTH:
        return name
    mark = "-" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return clean[: NAME_LENGTH - len(mark)] + mark


def params(arguments: list[str]) -> dict[str, str]:
    """The parameters in a script's arguments: `--lr 0.1`, `--lr=0.1`, and flags as "True"."""
    found: dict[str, str] = {}
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        index += 1
        if not re.match(r"--?[A-Za-z]", argument):
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        if not equals:
            following = arguments[index] if index < len(arguments) else "--"
            if re.match(r"--?[A-Za-z]", following) or following == "--":
                value = "True"
            else:
                value, index = following, index + 1
        found.setdefault(mlflow_name(name), value[:PARAM_LENGTH])
    return found


def table_artifacts(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Every logged table in the form that MLflow's pages show: `{"columns": […], "data": [[…]]}` by artifact name."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        if record.get("kind") == "table":
            rows.setdefault(record["name"], []).extend(rows_of(record))
    tables = {}
    for name, cells in rows.items():
        columns = list(dict.fromkeys(column for row in cells for column in row))
        data = [[row.get(column) for column in columns] for row in cells]
        tables[f"tables/{mlflow_name(name).replace('/', '_')}.json"] = {"columns": columns, "data": data}
    return tables
