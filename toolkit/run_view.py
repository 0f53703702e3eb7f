"""What there is to see of a run at one moment, and how it looks: as a table, as text, as HTML."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from toolkit.run import Run

SHOWN_CHILDREN = 20
COLOURS = {"Completed": "green", "Failed": "red", "Canceled": "yellow", "Running": "cyan"}


@dataclass(frozen=True)
class Child:
    """A child run: its id, its status, and the last value of the metric that counts, where there is one."""

    id: str
    status: str
    metric: float | None = None


@dataclass(frozen=True)
class View:
    """A run at one moment.

    Args:
        reason: why it has its status, in a few words.
        error: of a run that failed: its message.
        phases: seconds by name.
        metrics: the last value of each curve, and what else was logged in a few words, by name.
        primary_metric: of a sweep: the metric that its children are compared by.
        children: the best first where they can be compared, else the newest first.
        url: of the MLflow UI.
    """

    id: str
    experiment: str
    status: str
    reason: str
    error: str
    phases: dict[str, float]
    metrics: dict[str, Any]
    primary_metric: str
    children: list[Child]
    url: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def facts(self) -> Iterator[tuple[str, str]]:
        """What is said of the run, pair by pair."""
        yield "run", self.id
        yield "experiment", self.experiment
        yield "status", f"{self.status}: {self.reason}" if self.reason else self.status
        if self.error:
            yield "error", self.error
        if self.phases:
            yield "seconds", ", ".join(f"{name} {seconds:.2f}" for name, seconds in self.phases.items())
        for name, value in self.metrics.items():
            yield name, _short(value)
        if self.url:
            yield "web view", self.url

    def heading(self) -> str:
        """What stands over the children."""
        shown = min(len(self.children), SHOWN_CHILDREN)
        counted = f"{len(self.children)} child runs" + (f", of which {shown}" if shown < len(self.children) else "")
        return f"{counted}, by {self.primary_metric}" if self.primary_metric else counted


def view(run: Run, url: str = "") -> View:
    """What there is to see of a run now."""
    detailed = run.get_detailed_status()
    details = run.get_details()
    primary, maximize = _primary_metric(run)
    return View(
        id=run.id,
        experiment=run.experiment.name,
        status=detailed["status"],
        reason=(detailed["details"] or "").partition("\n")[0],
        error=str(((details.get("error") or {}).get("error") or {}).get("message") or ""),
        phases={name: seconds for name, seconds in (details.get("phases") or {}).items() if "." not in name},
        metrics={name: _last(value) for name, value in run.get_metrics().items() if run.type != "hyperdrive"},
        primary_metric=primary,
        children=_children(run, primary, maximize),
        url=url,
    )


def _primary_metric(run: Run) -> tuple[str, bool]:
    """The metric that the children of a sweep are compared by, and whether more is better."""
    try:
        goal = json.loads(run.get_properties().get("primary_metric_config") or "{}")
    except ValueError:
        return "", True
    return str(goal.get("name") or ""), str(goal.get("goal") or "").lower() != "minimize"


def _children(run: Run, primary: str, maximize: bool) -> list[Child]:
    runs = list(run.get_children())
    if not runs:
        return []
    metrics = run.get_metrics(recursive=True) if primary else {}
    children = [Child(one.id, one.get_status(), _best(metrics.get(one.id, {}).get(primary), maximize)) for one in runs]
    if primary:
        children.sort(
            key=lambda child: (
                child.metric is None,
                (-child.metric if maximize else child.metric) if child.metric else 0,
            )
        )
    return children


def _last(value: Any) -> Any:
    return value[-1] if isinstance(value, list) and value else value


def _best(value: Any, maximize: bool) -> float | None:
    """The best value of a metric; None where it is no number."""
    values = [one for one in (value if isinstance(value, list) else [value]) if _is_number(one)]
    return float((max if maximize else min)(values)) if values else None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return f"a table of {', '.join(map(str, value))}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def as_table(seen: View) -> Table:
    """The view for a terminal."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in seen.facts():
        colour = COLOURS.get(seen.status) if name == "status" else None
        table.add_row(escape(name), f"[{colour}]{escape(value)}[/]" if colour else escape(value))
    if seen.children:
        inner = Table(box=None, show_header=False)
        for child in seen.children[:SHOWN_CHILDREN]:
            colour = COLOURS.get(child.status, "default")
            inner.add_row(child.id, f"[{colour}]{child.status}[/]", _metric(child))
        table.add_row(seen.heading(), inner)
    return table


def as_text(seen: View) -> str:
    """The view for a file or a pipe."""
    lines = [f"{name}: {value}" for name, value in seen.facts()]
    if seen.children:
        lines.append(f"{seen.heading()}:")
        lines += [
            f"  {child.id}  {child.status}  {_metric(child)}".rstrip() for child in seen.children[:SHOWN_CHILDREN]
        ]
    return "\n".join(lines)


def as_html(seen: View) -> str:
    """The view for a notebook."""
    rows = "".join(
        _row(name, _link(value) if name == "web view" else html.escape(value)) for name, value in seen.facts()
    )
    if seen.children:
        children = "".join(
            f"<tr><td>{html.escape(child.id)}</td><td>{html.escape(child.status)}</td><td>{_metric(child)}</td></tr>"
            for child in seen.children[:SHOWN_CHILDREN]
        )
        rows += _row(seen.heading(), f"<table>{children}</table>")
    return f'<table class="toolkit-run" data-status="{html.escape(seen.status)}">{rows}</table>'


def _row(name: str, cell: str) -> str:
    style = "text-align: left; vertical-align: top"
    return f'<tr><th style="{style}">{html.escape(name)}</th><td style="{style}">{cell}</td></tr>'


def _link(url: str) -> str:
    shown = html.escape(url)
    return f'<a href="{shown}" target="_blank">{shown}</a>' if url.startswith(("http://", "https://")) else shown


def _metric(child: Child) -> str:
    return "" if child.metric is None else f"{child.metric:.6g}"
