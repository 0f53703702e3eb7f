"""From spool records to the shapes that `get_metrics` had in Azure ML SDK v1."""

from typing import Any, Dict, Iterable, List, Optional, Set

Record = Dict[str, Any]
# Values that are kept as artifacts; their records hold the artifact's name.
ARTIFACT_KINDS = ("image", "confusion_matrix", "accuracy_table", "residuals", "predictions")


def collect(records: Iterable[Record], name: Optional[str] = None) -> Dict[str, Any]:
    """Metrics by name.

    A scalar logged once is its value, logged n times a list of n in order; lists are concatenated, and a list of one
    value stays a list; a row is `{column: value}`, several rows or a table `{column: [values]}` with None for a missing
    cell; an image, or another value that is kept as an artifact, is the artifact's name. An unknown `name` gives {}.
    """
    series: Dict[str, List[Any]] = {}
    tables: Dict[str, List[Dict[str, Any]]] = {}
    images: Dict[str, Any] = {}
    lists: Set[str] = set()
    order: List[str] = []
    for record in records:
        key = record.get("name")
        kind = record.get("kind")
        if not isinstance(key, str) or (name is not None and key != name):
            continue
        if kind == "metric":
            series.setdefault(key, []).append(record.get("value"))
        elif kind == "list":
            series.setdefault(key, []).extend(record.get("value") or [])
            lists.add(key)
        elif kind == "table":
            tables.setdefault(key, []).extend(rows_of(record))
        elif kind in ARTIFACT_KINDS:
            images[key] = record.get("value")
        else:
            continue
        order.append(key)
    found: Dict[str, Any] = {}
    for key in order:
        if key in found:
            continue
        if key in series:
            found[key] = series[key][0] if len(series[key]) == 1 and key not in lists else series[key]
        elif key in tables:
            found[key] = _columns(tables[key])
        else:
            found[key] = images[key]
    return found


def rows_of(record: Record) -> List[Dict[str, Any]]:
    """The rows of a table record, whose value is `{column: [cells]}`."""
    columns: Dict[str, List[Any]] = record.get("value") or {}
    length = max([len(cells) for cells in columns.values()] or [0])
    return [
        {column: cells[index] for column, cells in columns.items() if index < len(cells)} for index in range(length)
    ]


def _columns(rows: List[Dict[str, Any]]) -> Dict[str, Any]:
    names: List[str] = []
    for row in rows:
        names.extend(column for column in row if column not in names)
    if len(rows) == 1:
        return dict(rows[0])
    return {column: [row.get(column) for row in rows] for column in names}


def tags(records: Iterable[Record], first: Optional[Dict[str, str]] = None) -> Dict[str, str]:
    """The tags after all `tag` and `untag` records, of a run that began with the tags `first`."""
    found: Dict[str, str] = dict(first or {})
    for record in records:
        if record.get("kind") == "tag":
            found[str(record.get("name"))] = str(record.get("value"))
        elif record.get("kind") == "untag":
            found.pop(str(record.get("name")), None)
    return found


def attributes(records: Iterable[Record]) -> Dict[str, str]:
    """The display name and the description, where they were set after the submit."""
    return {
        str(record.get("name")): str(record.get("value")) for record in records if record.get("kind") == "attribute"
    }


def properties(records: Iterable[Record]) -> Dict[str, str]:
    """The properties: the first value that a key was given stays."""
    found: Dict[str, str] = {}
    for record in records:
        if record.get("kind") == "property":
            found.setdefault(str(record.get("name")), str(record.get("value")))
    return found
