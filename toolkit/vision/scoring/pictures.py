"""The pictures of an evaluation: drawn with matplotlib's figures alone, so that no display and no state is needed."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

_WITH_NUMBERS = 25  # classes up to which each cell of the matrix says its count
_LONGEST_NAME = 24  # characters
_PRECISION, _RECALL = "#2a6fbb", "#e08a1e"


def confusion_matrix(confusion: NDArray[np.int64], names: list[str]) -> Figure:
    """CxC counts, a row for each true class. Colours are shares of the row, so that rare classes are seen as
    well; small shares are drawn stronger than they are, since they are what one looks for."""
    classes = len(names)
    side = min(18.0, max(4.5, 2.6 + 0.42 * classes if classes <= _WITH_NUMBERS else 2.6 + 0.155 * classes))
    figure = _figure(side + 0.9, side)
    axes = figure.add_subplot()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    drawn = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    size = _font_size(classes)
    shown = [_shortened(name) for name in names]
    axes.set_xticks(range(classes), shown, rotation=90 if classes > 4 else 0, fontsize=size)
    axes.set_yticks(range(classes), shown, fontsize=size)
    axes.set_xlabel("Predicted class")
    axes.set_ylabel("True class")
    if classes <= _WITH_NUMBERS:
        for row, column in np.argwhere(confusion > 0):
            count = int(confusion[row, column])
            colour = "white" if shares[row, column] > 0.3 else "black"
            fitting = size if count < 1000 else size - 1.5
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=fitting)
    bar = figure.colorbar(drawn, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("Share of the true class")
    return figure


def per_class(names: list[str], precision: NDArray[np.float64], recall: NDArray[np.float64], title: str) -> Figure:
    """Two bars a class, fractions from 0 to 1; the class with the lowest recall is the last."""
    classes = len(names)
    order = np.argsort(recall, kind="stable")  # bars are drawn upwards
    height = max(2.6, 1.3 + 0.34 * classes if classes <= _WITH_NUMBERS else 1.3 + 0.19 * classes)
    figure = _figure(8.0, height)
    axes = figure.add_subplot()
    places = np.arange(classes)
    axes.barh(places + 0.2, precision[order], 0.38, color=_PRECISION, label="Precision")
    axes.barh(places - 0.2, recall[order], 0.38, color=_RECALL, label="Recall")
    axes.set_yticks(places, [_shortened(names[index]) for index in order], fontsize=_font_size(classes))
    axes.set_ylim(-0.6, classes - 0.4)
    axes.set_xlim(0, 1)
    axes.xaxis.grid(True, color="#dddddd")
    axes.set_axisbelow(True)
    axes.set_title(title)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, cut to what is drawn."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # names in a script that the font does not have
        figure.savefig(path, format="png", bbox_inches="tight", pad_inches=0.15)


def _figure(width: float, height: float) -> Figure:
    """A figure of this size in inches that keeps everything inside its edges."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _font_size(classes: int) -> float:
    return 9.0 if classes <= _WITH_NUMBERS else 7.0 if classes <= 60 else 6.0


def _shortened(name: str) -> str:
    plain = name.replace("$", r"\$")  # what matplotlib takes for mathematics
    return plain if len(plain) <= _LONGEST_NAME else f"{plain[: _LONGEST_NAME - 1]}…"
