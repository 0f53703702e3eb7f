"""The checkpoint of a training: one file, replaced whole, from which it goes on to the same result."""

from __future__ import annotations

import os
import pickle
import sys
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from toolkit.inscript.errors import UserErrorException
from toolkit.vision.training.settings import CHECKPOINT_SECONDS

_FILE = "checkpoint.pt"
_UNREADABLE = (
    OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile,
    pickle.UnpicklingError,
)  # fmt: skip
_BUSY_SHARE = 20  # writing takes at most one second in so many


@dataclass
class State:
    """Where a training is. Epochs and steps are counted from 0 and name what comes next.

    Attributes:
        sums: of the epoch so far, as `Progress` keeps them.
        best: weights of the best epoch so far, on the CPU; None before the first is done.
        best_accuracy, best_loss: of that epoch, on the validation set.
        lowest_loss: of all epochs, which patience counts from, and how many epochs ago that was.
        rows: what was logged a epoch, by the names of the columns.
    """

    epoch: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=list)
    best: dict[str, torch.Tensor] | None = None
    best_epoch: int = -1
    best_accuracy: float = -1.0
    best_loss: float = float("inf")
    lowest_loss: float = float("inf")
    epochs_since: int = 0
    stopped: bool = False
    rows: list[dict[str, float]] = field(default_factory=list)


@dataclass
class Found:
    """What a checkpoint holds: where the training was, and the state dicts of its network and optimizer."""

    state: State
    tensors: dict[str, Any]


class Checkpoint:
    """The checkpoint in a folder.

    Args:
        folder: where it is; None for none.
        identity: what the result depends on, by name: a checkpoint that was made with something else is refused.
        seconds: the time between two.
    """

    def __init__(self, folder: Path | None, identity: dict[str, str], seconds: float = CHECKPOINT_SECONDS) -> None:
        self.enabled = folder is not None
        self._path = None if folder is None else folder / _FILE
        self._identity = identity
        self._seconds = seconds
        self._written = time.monotonic()
        self._took = 0.0
        self._warned = False

    def load(self) -> Found | None:
        """What is kept; None where nothing is.

        Raises:
            UserErrorException: it belongs to another training, or cannot be read.
        """
        if self._path is None or not self._path.is_file():
            return None
        try:
            content = torch.load(self._path, map_location="cpu", weights_only=True)
            identity, state, tensors = content["identity"], State(**content["state"]), content["tensors"]
        except _UNREADABLE as error:
            reason = type(error).__name__
            raise UserErrorException(
                f"the checkpoint {self._path} cannot be read ({reason}): delete it to train from the start"
            ) from error
        differing = [name for name in {**identity, **self._identity} if identity.get(name) != self._identity.get(name)]
        if differing:
            changes = "; ".join(f"{one} was {identity.get(one)}, is {self._identity.get(one)}" for one in differing)
            raise UserErrorException(
                f"the checkpoint {self._path} belongs to another training ({changes}): delete it to train from the "
                "start, or give another checkpoint_path"
            )
        return Found(state, tensors)

    @property
    def due(self) -> bool:
        """Whether the next one should be written now."""
        pause = max(self._seconds, self._took * _BUSY_SHARE)
        return self._path is not None and time.monotonic() - self._written >= pause

    def save(self, state: State, **tensors: Any) -> bool:
        """Write it, whole or not at all. A disk that is full costs the checkpoint, not the training."""
        assert self._path is not None
        began = time.monotonic()
        staging = self._path.with_suffix(".tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(staging, "wb") as file:
                torch.save({"identity": self._identity, "state": vars(state), "tensors": tensors}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(staging, self._path)
        except (OSError, RuntimeError) as error:  # torch has its own word for a disk that is full
            staging.unlink(missing_ok=True)
            if not self._warned:
                kept = "the one before it stays" if self._path.is_file() else "there is none yet"
                print(f"checkpoint: {self._path} cannot be written ({error}); {kept}, and the training goes on",
                      file=sys.stderr, flush=True)  # fmt: skip
                self._warned = True
            self._written = time.monotonic()
            return False
        self._warned = False
        self._written = time.monotonic()
        self._took = self._written - began
        return True

    def remove(self) -> None:
        """Remove it: the training is done, and its result is saved."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path.with_suffix(".tmp").unlink(missing_ok=True)
            if self._path.parent.is_dir() and not any(self._path.parent.iterdir()):
                self._path.parent.rmdir()
