"""The groups of figures by name, and the modules that measure them. A module has `TITLE` and `measure(bench)`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Protocol, cast

from benchmarks.bench import Bench
from benchmarks.figure import Line

GROUPS: dict[str, tuple[str, ...]] = {
    "core": (
        "import_time",
        "first_line",
        "log_call",
        "nothing_lost",
        "drain",
        "training_loop",
        "agent_memory",
        "torch_environment",
    ),
    "images": (
        "small_environment",
        "torch_environment",
        "runs",
    ),
    "vision": (
        "convert",  # first: files that the others delete would make the file system slow here
        "throughput",
        "data_path",
        "same_loss",
        "accuracy",
        "resume",
        "million",
    ),
    "sdk": (
        "many_runs",
        "script_import",
    ),
    "engines": (
        "ssh",
        "second_submit",
        "slurm",
        "ray",
        "many_queued",
    ),
}


class UnknownName(Exception):
    """There is no such group or figure; the message says which there are."""


class FigureModule(Protocol):
    """What a module of a group offers."""

    TITLE: str

    def measure(self, bench: Bench) -> Iterator[Line]:
        """Measure ours and the peers in turn; a line as soon as it is known."""
        ...


def groups(wanted: str | None) -> list[str]:
    """The group that is asked for, or all of them."""
    if wanted is None:
        return list(GROUPS)
    if wanted not in GROUPS:
        raise UnknownName(f"there is no group of benchmarks '{wanted}'; there are: {', '.join(GROUPS)}")
    return [wanted]


def figures(group: str, wanted: str | None = None) -> list[tuple[str, FigureModule]]:
    """The modules of a group, or the one that is asked for."""
    names = GROUPS[group]
    if wanted is not None and wanted not in names:
        raise UnknownName(f"the group '{group}' has no figure '{wanted}'; it has: {', '.join(names)}")
    chosen = [name for name in names if wanted in (None, name)]
    return [(name, cast(FigureModule, importlib.import_module(f"benchmarks.{group}.{name}"))) for name in chosen]
