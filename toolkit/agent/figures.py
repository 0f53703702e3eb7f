"""Figures of the structured values that a run logged.

`python -m toolkit.agent.figures` reads `[[kind, value.json, figure.png], …]`: a process of its own, so that the tracker
stays without matplotlib, and one for all values of a run, since the tracker waits for it. The values are those of Azure
ML SDK v1: a dictionary with `data`, whose keys each function names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from toolkit.background import background_environment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAW_SECONDS = 60  # for all of a run


def draw(wanted: list[tuple[str, str, str]]) -> list[str]:
    """Draw values, each a kind, a JSON file and the PNG file to write. Returns the figures that could be drawn."""
    if not wanted:
        return []
    command, asked = [sys.executable, "-m", "toolkit.agent.figures"], json.dumps(wanted).encode()
    try:
        subprocess.run(command, input=asked, env=background_environment(), capture_output=True, timeout=DRAW_SECONDS)
    except subprocess.TimeoutExpired:
        pass  # those that are whole are kept
    return [figure for _, _, figure in wanted if os.path.exists(figure)]


def _confusion_matrix(figure: Figure, data: dict[str, Any]) -> None:
    """`class_labels`: n names; `matrix`: n rows (true) of n counts (predicted)."""
    axes = figure.subplots()
    labels, matrix = [str(label) for label in data["class_labels"]], data["matrix"]
    axes.imshow(matrix, cmap="Blues")
    highest = max(max(row) for row in matrix)
    if len(labels) <= 20:
        for row, counts in enumerate(matrix):
            for column, count in enumerate(counts):
                color = "white" if count > highest / 2 else "black"
                axes.text(column, row, f"{count:g}", ha="center", va="center", color=color)
    axes.set_xticks(range(len(labels)), labels, rotation=90 if len(labels) > 5 else 0)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="predicted", ylabel="true")


def _accuracy_table(figure: Figure, data: dict[str, Any]) -> None:
    """`probability_tables`: for each class and threshold [TP, FP, TN, FN]; `class_labels`: the names."""
    roc, precision_recall = figure.subplots(1, 2)
    for label, table in zip(data["class_labels"], data["probability_tables"], strict=False):
        rates = [_rates(*counts) for counts in table]
        roc.plot([rate[0] for rate in rates], [rate[1] for rate in rates], label=str(label))
        precision_recall.plot([rate[1] for rate in rates], [rate[2] for rate in rates], label=str(label))
    roc.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    precision_recall.set(xlabel="recall", ylabel="precision", title="precision and recall")
    roc.legend()


def _rates(tp: float, fp: float, tn: float, fn: float) -> tuple[float, float, float]:
    """False positive rate, true positive rate, precision."""
    return fp / (fp + tn or 1), tp / (tp + fn or 1), tp / (tp + fp) if tp + fp else 1.0


def _residuals(figure: Figure, data: dict[str, Any]) -> None:
    """`bin_edges`: n + 1 edges; `bin_counts`: n counts, or n + 2 with what lies outside on either side."""
    axes = figure.subplots()
    edges, counts = _bins(data)
    axes.bar(edges[:-1], counts, [after - before for before, after in pairwise(edges)], align="edge")
    axes.set(xlabel="residual", ylabel="count")


def _predictions(figure: Figure, data: dict[str, Any]) -> None:
    """`bin_averages` of n bins of the truth, `bin_errors` of them, `bin_counts`, `bin_edges`."""
    axes: Axes = figure.subplots()
    edges, _ = _bins(data)
    averages = data["bin_averages"][: len(edges) - 1]
    centers = [(before + after) / 2 for before, after in pairwise(edges)][: len(averages)]
    errors = [abs(error or 0) for error in data.get("bin_errors") or [0] * len(averages)][: len(averages)]
    axes.errorbar(centers, averages, yerr=errors, fmt="o-", label="predicted")
    axes.plot(centers, centers, "--", color="grey", label="ideal")
    axes.set(xlabel="true", ylabel="predicted")
    axes.legend()


def _bins(data: dict[str, Any]) -> tuple[list[float], list[float]]:
    edges, counts = [float(edge) for edge in data["bin_edges"]], [*data["bin_counts"]]
    width = edges[-1] - edges[-2] if len(edges) > 1 else 1.0
    while len(edges) < len(counts) + 1:  # what lies outside the edges gets a bin of its own
        edges.append(edges[-1] + width)
    return edges, counts[: len(edges) - 1]


_DRAWN: dict[str, Callable[[Figure, dict[str, Any]], None]] = {
    "confusion_matrix": _confusion_matrix,
    "accuracy_table": _accuracy_table,
    "residuals": _residuals,
    "predictions": _predictions,
}


def main() -> None:
    for kind, value_path, figure_path in json.load(sys.stdin):
        try:
            _draw_one(kind, value_path, figure_path)
        except Exception as error:  # a value may be anything; the others are drawn
            print(f"{value_path}: {type(error).__name__}: {error}", file=sys.stderr)


def _draw_one(kind: str, value_path: str, figure_path: str) -> None:
    from matplotlib.figure import Figure

    with open(value_path, encoding="utf-8") as file:
        value = json.load(file)
    figure = Figure(figsize=(9, 4.5) if kind == "accuracy_table" else (6, 4.5), layout="constrained")
    _DRAWN[kind](figure, value["data"])
    figure.savefig(f"{figure_path}.part", format="png", dpi=120)
    os.replace(f"{figure_path}.part", figure_path)


if __name__ == "__main__":
    main()
