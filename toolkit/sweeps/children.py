"""The children of a sweep as their folders tell: what they were given, what they logged, how they are."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from typing import Any

from toolkit.agent.mlflow_calls import SPOOL_FILE
from toolkit.inscript.files import read_json, read_lines
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.spool import files, read_from
from toolkit.status import TERMINAL, last_event


@dataclass
class Child:
    """One child. `look()` reads what is new.

    Attributes:
        values: what it was given, by parameter.
        history: the values of the primary metric that it logged, in order.
        status: as it was at the last look.
        looked_at: the interval at which the policy last looked at it, and with how many others to compare it with.
    """

    directory: RunDirectory
    metric: str
    values: dict[str, Any] = field(default_factory=dict)
    history: list[float] = field(default_factory=list)
    status: str = ""
    looked_at: tuple[int, int] = (0, 0)
    _offsets: dict[str, int] = field(default_factory=dict)
    _logged: list[float] = field(default_factory=list)
    _called: list[float] = field(default_factory=list)  # by MLflow itself; see `toolkit.agent.mlflow_calls`
    _written: int = 0

    @classmethod
    def of(cls, directory: RunDirectory, metric: str) -> Child:
        """The child in a run directory."""
        values = read_json(directory.definition, {}).get("hyperparameters") or {}
        child = cls(directory, metric, values)
        child.look()
        return child

    @property
    def id(self) -> str:
        return self.directory.id

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL

    def best(self, maximize: bool) -> float | None:
        """The best value that it logged."""
        if not self.history:
            return None
        return max(self.history) if maximize else min(self.history)

    def look(self) -> None:
        """Read the status, and then what was logged since the last look: when it has ended, all is read."""
        if self.ended:
            return
        self.status = last_event(self.directory).status
        found: list[tuple[float, list[float]]] = []
        for name in files(self.directory.spool):
            path = os.path.join(self.directory.spool, name)
            if name != SPOOL_FILE:
                found += self._new(path)
                continue
            written = os.stat(path).st_mtime_ns
            if written != self._written:  # whole each time: its values are the ones there are
                self._written = written
                self._offsets.pop(path, None)
                self._called = [number for _, numbers in self._new(path) for number in numbers]
        for _, numbers in sorted(found, key=lambda one: one[0]):
            self._logged += numbers
        self.history = self._logged + self._called

    def _new(self, path: str) -> list[tuple[float, list[float]]]:
        found: list[tuple[float, list[float]]] = []
        while True:
            offset = self._offsets.get(path, 0)
            records, self._offsets[path] = read_from(path, offset)
            if self._offsets[path] == offset:
                return found
            for record in records:
                if record.get("name") == self.metric and record.get("kind") in ("metric", "list"):
                    value = record.get("value")
                    values: list[Any] = value if isinstance(value, list) else [value]
                    numbers = [float(one) for one in values if _is_number(one)]
                    found.append((float(record.get("time") or 0), numbers))


def ids(parent: RunDirectory) -> list[str]:
    """The ids of the children of a sweep, in the order of their submission."""
    return list(dict.fromkeys(read_lines(parent.submitted_children)))


def arguments(given: list[str], values: dict[str, Any]) -> list[str]:
    """The arguments of a child: `--name value` for each of its values, in place of an argument of that name."""
    made = list(given)
    for name, value in values.items():
        option, text = name if name.startswith("-") else f"--{name}", as_text(value)
        joined = next((place for place, one in enumerate(made) if one.startswith(f"{option}=")), None)
        if joined is not None:
            made[joined] = f"{option}={text}"
        elif option in made:
            place = made.index(option)
            made[place : place + 2] = [option, text]
        else:
            made += [option, text]
    return made


def as_text(value: object) -> str:
    """A value as the script gets it: text as it is, lists as JSON, everything else as Python writes it."""
    return json.dumps(value) if isinstance(value, (list, dict)) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
