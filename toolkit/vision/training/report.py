"""What a training says while it goes on: lines for the log, rows for the curves, under the designer's names."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from toolkit.inscript.run import Run
from toolkit.inscript.rundir import RUN_DIRECTORY

METRICS = {  # the metric, and its column beside `epoch`
    "learning rate": "lr",
    "Train images per second": "train_ips",
    "Train loss": "train_loss",
    "Train error": "train_error",
    "Valid loss": "valid_loss",
    "Top-1 validation accuracy": "top1_acc",
    "Top-5 validation accuracy": "top5_acc",
}


class Report:
    """Prints, and logs to the run if one is around it. Only the first process has something to say."""

    def __init__(self, epochs: int, steps: int, every: int, speaks: bool = True) -> None:
        self._epochs, self._steps, self._every = epochs, steps, every
        self._speaks = speaks
        self._run: Any = Run.get_context() if speaks and os.environ.get(RUN_DIRECTORY) else None
        self._begin()

    def _begin(self) -> None:
        self._began = self._last = time.perf_counter()
        self._images = self._images_before = self._iterations = 0

    def say(self, text: str) -> None:
        if self._speaks:
            print(text, flush=True)

    def epoch_begins(self) -> None:
        self._begin()

    def wants(self, step: int) -> bool:
        """Whether this step, counted from 0, is one to print."""
        return (step + 1) % self._every == 0

    def step(self, images: int) -> None:
        self._images += images
        self._iterations += 1

    def iteration(self, epoch: int, step: int, loss: tuple[float, float], error: tuple[float, float]) -> None:
        """Print a line: of each number the last batch's value and the mean of the epoch so far."""
        now = time.perf_counter()
        since, whole = now - self._last, now - self._began
        last_images = self._images - self._images_before
        pairs = {
            "Time_Batch/Avg_Time_Epoch(s)": (since / self._every, whole / self._iterations),
            "Ips_Batch/Avg_Ips_Epoch(img/s)": (last_images / since, self._images / whole),
            "Loss_Batch/Avg_Loss_Epoch": loss,
            "Error_Batch/Avg_Error_Epoch": error,
        }
        numbers = "\t".join(f"Avg_{name}: {last:.4f}/{mean:.4f}" for name, (last, mean) in pairs.items())
        self.say(f"Epoch: [{epoch + 1}/{self._epochs}]\tIter: [{step + 1}/{self._steps}]\t{numbers}")
        self._last, self._images_before = now, self._images

    def images_per_second(self) -> float:
        return self._images / max(1e-9, time.perf_counter() - self._began)

    def epoch(self, row: dict[str, float]) -> None:
        """Print and log the row of an epoch."""
        self.say(
            f"Epoch {row['epoch']:.0f},train_ips {row['train_ips']:.2f},train_loss {row['train_loss']:.4f},"
            f"train_error {row['train_error']:.4f},valid_loss {row['valid_loss']:.4f},"
            f"top1 acc {row['top1_acc']:.4f},top5 acc {row['top5_acc']:.4f}"
        )
        self._log(row)

    def resumed(self, rows: list[dict[str, float]]) -> None:
        """Log the epochs that an earlier run trained, unless this run has them."""
        if self._run is None:
            return
        there = self._run.get_metrics("Train loss").get("Train loss", {}).get("epoch", [])
        known = set(there if isinstance(there, list) else [there])
        for row in rows:
            if row["epoch"] not in known:
                self._log(row)

    def _log(self, row: dict[str, float]) -> None:
        if self._run is not None:
            for name, column in METRICS.items():
                self._run.log_row(name, epoch=int(row["epoch"]), **{column: row[column]})

    def keep(self, folder: Path, name: str) -> None:
        """Keep a folder with the run, as the artifact `outputs/<name>`."""
        if self._run is not None and not folder.is_relative_to(Path("outputs").absolute()):
            self._run.upload_folder(f"outputs/{name}", str(folder))

    def number(self, name: str, value: float) -> None:
        if self._run is not None:
            self._run.log(name, value)
