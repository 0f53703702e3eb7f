"""What a run needs on a node that shares no disk with this machine: the document for `toolkit.inscript.streamed`."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from toolkit.inscript import attempts
from toolkit.inscript.files import read_json
from toolkit.inscript.requests import NO_ANSWERS
from toolkit.inscript.streamed import DATA, INSCRIPT, RUN, SNAPSHOT, replaced
from toolkit.paths import home
from toolkit.targets.base import Plan
from toolkit.targets.mirror import Mirror
from toolkit.targets.mount import inscript_folder

_HERE = ("run", "container", "request", "wake", "keep_environ")  # of a plan, what concerns this side only


def there(plan: Plan, engine: str, shared: bool = False) -> Plan:
    """The plan with marks for the run directory, the in-script side and the snapshot, wherever they lie on a node.

    Args:
        engine: what people call where it goes, as in "a Ray cluster".
        shared: whether the toolkit's home of this machine is there under the same path.
    """
    marks = {plan.run.root: RUN, str(inscript_folder()): INSCRIPT}
    if not shared:
        marks[str(home().data)] = DATA
    moved: dict[str, Any] = {
        name: replaced(getattr(plan, name), marks) for name in ("command", "environment", "path_prefixes", "data")
    }
    moved["environment"][NO_ANSWERS] = engine
    snapshot = plan.snapshot and {"store": SNAPSHOT, "id": plan.snapshot["id"]}
    return replace(plan, **moved, snapshot=snapshot)


def start_document(plan: Plan, folder: str, max_output_mb: int, retries: int) -> dict[str, Any]:
    """The document for `streamed.main`.

    Args:
        plan: as `there` made it.
        folder: where run directories are made on the nodes.
        max_output_mb: larger outputs are not carried back.
        retries: how many more attempts there may be.
    """
    told = {key: value for key, value in asdict(plan).items() if key not in _HERE}
    number = attempts.count(plan.run) + 1
    return {
        "run": plan.run.id,
        "definition": read_json(plan.run.definition),
        "attempt": number,
        "folder": folder,
        "plan": told,
        "sizes": Mirror(plan.run).sizes() if number > 1 else {},
        "max_output_bytes": max_output_mb << 20,
        "keep": retries > 0,
    }
