"""What questions about many runs are asked of: the facts of one run, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.inscript import details, metrics
from toolkit.inscript.files import read_json
from toolkit.inscript.run_family import matches
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.spool import read_all


@dataclass(frozen=True)
class RunFacts:
    """One run.

    Attributes:
        parent: the id of the run that it is a child of, or None.
        status: what it is now; of one that is at its end, what it will be.
        metrics: in the shapes of `toolkit.inscript.metrics.collect`.
    """

    id: str
    experiment: str
    parent: str | None
    type: str | None
    status: str
    tags: dict[str, str]
    properties: dict[str, str]
    metrics: dict[str, Any]

    @classmethod
    def read(cls, directory: RunDirectory) -> RunFacts | None:
        """The facts of a run, or None where there is none: its submit was ended in the middle, or goes on."""
        definition = read_json(directory.definition)
        if definition is None:
            return None
        event = details.last_event(directory)
        records = read_all(directory.spool)
        return cls(
            id=directory.id,
            experiment=str(definition.get("experiment", "")),
            parent=definition.get("parent") or None,
            type=definition.get("type") or None,
            status=str(event.get("outcome") or event["status"]),
            tags=metrics.tags(records, definition.get("tags")),
            properties={**metrics.properties(records), **(definition.get("properties") or {})},
            metrics=metrics.collect(records),
        )


@dataclass(frozen=True)
class Wanted:
    """What runs are asked for; None is no matter.

    Attributes:
        type, status: exactly these.
        tags, properties: one key that a run must have, or several by name with their values.
        children: whether runs that have a parent count.
    """

    type: str | None = None
    status: str | None = None
    tags: object = None
    properties: object = None
    children: bool = True

    def fits(self, facts: RunFacts) -> bool:
        return (
            self.type in (None, facts.type)
            and self.status in (None, facts.status)
            and (self.children or facts.parent is None)
            and (not self.tags or matches(facts.tags, self.tags))
            and (not self.properties or matches(facts.properties, self.properties))
        )

    def pairs(self, name: str) -> list[tuple[str, str | None]]:
        """The keys of `tags` or `properties` with their values, None for any value."""
        wanted = getattr(self, name)
        if not wanted:
            return []
        pairs = wanted if isinstance(wanted, Mapping) else {wanted: None}
        return [(str(key), None if value is None else str(value)) for key, value in pairs.items()]

    @property
    def anything(self) -> bool:
        return self == Wanted()
