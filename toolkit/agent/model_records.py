"""A model version as MLflow keeps it and as `Model` reads it: pure, in both directions.

MLflow knows tags alone. A tag of the user's is a tag of the same name; a property is `toolkit.property.<key>`, a fact
of ours `toolkit.<name>`. A key that MLflow does not take, or that looks like one of those, gets another name there, and
`toolkit.keys` says what it was. So tags and properties read back apart, and the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from toolkit.agent.translate import mlflow_name

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

PROPERTY = "toolkit.property."
KEYS = "toolkit.keys"
REQUEST = "toolkit.request"  # which request of a script a version answers
TEXT_FACTS = ("framework", "framework_version", "run_id", "experiment", "artifact", "created_by")
JSON_FACTS = ("datasets", "sample_input_dataset", "sample_output_dataset", "resource_configuration", "folder")
_OURS = ("toolkit.", "mlflow.")


def tag_of(key: str, prefix: str = "") -> str:
    """The name that a tag, or with `PROPERTY` a property, has in MLflow."""
    if not prefix and key.startswith(_OURS):
        key = f"_{key}"
    return mlflow_name(prefix + key)


def tags_of(
    tags: Mapping[str, Any],
    properties: Mapping[str, Any],
    facts: Mapping[str, Any],
    keys: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The MLflow tags that say all of these.

    Args:
        facts: of `TEXT_FACTS` and `JSON_FACTS`; what is None or empty is left out.
        keys: what `toolkit.keys` says of the version so far.
    """
    found: dict[str, str] = {}
    renamed = dict(keys or {})
    for prefix, pairs in (("", tags), (PROPERTY, properties)):
        for key, value in pairs.items():
            name = tag_of(key, prefix)
            found[name] = "" if value is None else str(value)
            if name != prefix + key:
                renamed[name] = key
    found.update({f"toolkit.{name}": str(facts[name]) for name in TEXT_FACTS if facts.get(name)})
    found.update({f"toolkit.{name}": json.dumps(facts[name]) for name in JSON_FACTS if facts.get(name)})
    if renamed:
        found[KEYS] = json.dumps(renamed)
    return found


def keys_of(version: ModelVersion) -> dict[str, str]:
    """The user's own keys of the tags that have another name in MLflow."""
    keys: dict[str, str] = json.loads(version.tags.get(KEYS, "{}"))
    return keys


def record_of(version: ModelVersion) -> dict[str, Any]:
    """What `toolkit.inscript.model.Model` is made of: plain JSON."""
    keys, tags, properties = keys_of(version), {}, {}
    for name, value in version.tags.items():
        if name.startswith(PROPERTY):
            properties[keys.get(name, name[len(PROPERTY) :])] = value
        elif not name.startswith(_OURS):
            tags[keys.get(name, name)] = value
    record: dict[str, Any] = {
        "name": version.name,
        "version": int(version.version),
        "description": version.description or "",
        "tags": tags,
        "properties": properties,
        "created": version.creation_timestamp / 1000,
        "mlflow_run_id": version.run_id or "",
        "uri": f"models:/{version.name}/{version.version}",
    }
    record.update({name: version.tags.get(f"toolkit.{name}", "") for name in TEXT_FACTS})
    record.update({name: json.loads(version.tags.get(f"toolkit.{name}", "null")) for name in JSON_FACTS})
    return record


def matches(
    record: Mapping[str, Any],
    tags: object = None,
    properties: object = None,
    run_id: str | None = None,
    framework: str | None = None,
    dataset_id: str | None = None,
) -> bool:
    """Whether a model has all of what Azure ML SDK v1 took as filters: `["key", ["key", "value"]]`, or a dictionary."""
    datasets = [dataset for _, dataset in record["datasets"] or []]
    return (
        has(record["tags"], tags)
        and has(record["properties"], properties)
        and run_id in (None, record["run_id"])
        and framework in (None, record["framework"])
        and (dataset_id is None or any(dataset.get("id") == dataset_id for dataset in datasets))
    )


def has(found: Mapping[str, str], wanted: object) -> bool:
    """Whether `found` has a key, all of several keys, or all keys with their values."""
    if not wanted:
        return True
    if isinstance(wanted, str):
        return wanted in found
    if isinstance(wanted, Mapping):
        return all(key in found and value in (None, found[key]) for key, value in wanted.items())
    if not isinstance(wanted, (list, tuple)):
        return str(wanted) in found
    return all(
        found.get(str(item[0])) == str(item[1])
        if isinstance(item, (list, tuple)) and len(item) == 2
        else has(found, item)
        for item in wanted
    )
