"""The training loop: epochs of steps, a validation after each, the best weights kept, and a checkpoint now and then."""

from __future__ import annotations

import contextlib
import math
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from toolkit.vision.errors import (
    GreaterThanOrEqualToError,
    InvalidDatasetError,
    InvalidModelDirectoryError,
    ModuleError,
    ModuleOutOfMemoryError,
    TimeoutOccuredError,
    TrainingDivergedError,
)
from toolkit.vision.training.checkpoint import Checkpoint, Found, State
from toolkit.vision.training.distributed import Processes
from toolkit.vision.training.feed import Batch, Feed
from toolkit.vision.training.interrupt import told_to_end
from toolkit.vision.training.launch import abandoned
from toolkit.vision.training.order import step_seed
from toolkit.vision.training.report import Report
from toolkit.vision.training.settings import MOMENTUM, WEIGHT_DECAY, Settings

_TOP = 5
_AGREE_STEPS = 5  # between two questions of several processes whether to end


class Interrupted(SystemExit):
    """The training was told to end; its checkpoint is written. The exit code is that of a process so ended."""


@dataclass
class Training:
    """A network, what it learns from, and how.

    Attributes:
        network: on the device, in the memory format of the feeds; trained in place.
        classes: how many there are.
        compiles: whether the steps go through `torch.compile`.
        found: what the checkpoint held, if there is one.
    """

    network: nn.Module
    train: Feed
    valid: Feed
    classes: int
    settings: Settings
    device: torch.device
    processes: Processes
    checkpoint: Checkpoint
    report: Report
    compiles: bool = False
    found: Found | None = None

    def run(self) -> State:
        """Train until the last epoch, or until patience ends; the network has the weights that are to be kept.

        Raises:
            TrainingDivergedError: the loss is no number any more.
            ModuleOutOfMemoryError: a batch does not fit into memory; says how large a one does.
            TimeoutOccuredError: another process does not answer.
            Interrupted: SIGTERM or Ctrl-C came; a checkpoint is written.
        """
        settings = self.settings
        self._optimizer = torch.optim.SGD(
            self.network.parameters(), lr=settings.learning_rate, momentum=MOMENTUM, nesterov=True,
            weight_decay=WEIGHT_DECAY, fused=self.device.type in ("cpu", "cuda"),
        )  # fmt: skip
        self._state = self._resume()
        model: nn.Module = self.network
        if self.processes.world_size > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            model = DistributedDataParallel(model, device_ids=ids)
        self._model = self._compiled(model)
        # Not the distributed one: it waits for the other processes, which may have fewer batches to judge.
        self._judge = self._model if model is self.network else self._compiled(self.network)
        self._train_mode = model.train
        with told_to_end() as self._ending:
            while self._state.epoch < settings.epochs and not self._state.stopped:
                self._epoch()
        self._keep()
        return self._state

    def _compiled(self, network: nn.Module) -> Callable[[Tensor], Tensor]:
        return torch.compile(network) if self.compiles else network

    def _resume(self) -> State:
        if self.found is None:
            return State(sums=_zeros())
        state, tensors = self.found.state, self.found.tensors
        if not self.processes.first:
            state.sums = _zeros()  # those of all processes are with the first one
        self.network.load_state_dict(tensors["network"])
        self._optimizer.load_state_dict(tensors["optimizer"])
        self.report.say(f"Resuming at epoch {state.epoch + 1}, step {state.step + 1}, from the checkpoint")
        self.report.resumed(state.rows)
        return state

    # -- an epoch -----------------------------------------------------------------------------------------------

    def _epoch(self) -> None:
        state, settings = self._state, self.settings
        rate = settings.rate(state.epoch, self.processes.world_size)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._train_mode(True)
        self.report.epoch_begins()
        sums = torch.tensor(state.sums, dtype=_exact(self.device), device=self.device)
        last = sums.clone()
        for step, batch in enumerate(self.train.epoch(state.epoch, state.step), state.step):
            sums += self._step(batch, state.epoch, step)
            state.step = step + 1
            self.report.step(len(batch.labels) * self.processes.world_size)
            if self.report.wants(step):
                last = self._print(step, sums, last)
            if self._is_time(step):
                state.sums = self.processes.sum(sums.clone()).tolist()
                self._save()
        speed = self.report.images_per_second()
        trained = self._totals(sums, "training")
        state.sums = self._reduced
        self._check_finite(trained["loss"], state.step)
        self._conclude(rate, speed, trained, self._totals(self._validate(), "validation"))

    def _step(self, batch: Batch, epoch: int, step: int) -> Tensor:
        """One step of the optimizer; the sums of its batch: see `_sums`."""
        if not len(batch.labels):
            return self._empty_step()
        _seed(step_seed(self.settings.random_seed, epoch, step, self.processes.rank), self.device)
        self._optimizer.zero_grad()
        try:
            logits, loss = self._forward(batch)
            loss.backward()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, MemoryError) as error:
            problem = error
        else:
            self._optimizer.step()
            self._last_batch = batch if self.processes.world_size > 1 else None
            return _sums(logits.detach(), loss.detach(), batch.labels, self.device)
        traceback.clear_frames(problem.__traceback__)  # they hold what fills the memory
        raise self._explain(problem, batch)

    def _empty_step(self) -> Tensor:
        """No image of the batch can be read. Others may wait for this process: it takes part, with weight zero."""
        if self.processes.world_size > 1:
            if self._last_batch is None:
                raise InvalidDatasetError("Training dataset", "no image of a process's first batch can be read")
            self._optimizer.zero_grad()
            (self._forward(self._last_batch)[1] * 0).backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
        return torch.zeros(4, dtype=_exact(self.device), device=self.device)

    _last_batch: Batch | None = None

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        with self._autocast():
            logits = (self._model if self.network.training else self._judge)(batch.images)
            wanted = (len(batch.labels), self.classes)
            if not isinstance(logits, Tensor) or logits.shape != wanted:
                found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
                raise InvalidModelDirectoryError(
                    "Untrained model", f"for {wanted[0]} images and {wanted[1]} classes the network gives {found}",
                    f"It must give a tensor of {wanted}: one logit for each image and class.",
                )  # fmt: skip
            loss = F.cross_entropy(logits, batch.labels, label_smoothing=self._smoothing)
        return logits, loss

    @property
    def _smoothing(self) -> float:
        return self.settings.label_smoothing if self.network.training else 0.0

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.settings.precision == "bfloat16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def _print(self, step: int, sums: Tensor, last: Tensor) -> Tensor:
        """Print where the epoch is; the sums, to be compared with next time."""
        now, before = sums.tolist(), last.tolist()
        seen = max(1.0, now[_SEEN] - before[_SEEN])
        mean = now[_LOSS] / max(1.0, now[_SEEN])
        self._check_finite(mean, step + 1)
        loss = ((now[_LOSS] - before[_LOSS]) / seen, mean)
        error = (1 - (now[_TOP1] - before[_TOP1]) / seen, 1 - now[_TOP1] / max(1.0, now[_SEEN]))
        self.report.iteration(self._state.epoch, step, loss, error)
        return sums.clone()

    def _check_finite(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise TrainingDivergedError(
                f"the training loss is {loss} at epoch {self._state.epoch + 1}, step {step}: lower the learning rate "
                f"(it is {self.settings.learning_rate:g}), or give warm-up epochs"
            )

    @torch.no_grad()
    def _validate(self) -> Tensor:
        self._train_mode(False)
        sums = torch.zeros(4, dtype=_exact(self.device), device=self.device)
        for batch in self.valid.epoch(self._state.epoch):
            if len(batch.labels):
                logits, loss = self._forward(batch)
                sums += _sums(logits, loss, batch.labels, self.device)
            if self._ending and self.processes.world_size == 1:
                self._save()
        return sums

    def _totals(self, sums: Tensor, of: str) -> dict[str, float]:
        """Means over the images of all processes."""
        self._reduced: list[float] = self.processes.sum(sums).tolist()
        loss, top1, top5, seen = self._reduced
        if not seen:
            raise InvalidDatasetError(f"{of.capitalize()} dataset", "none of its images can be read")
        return {"loss": loss / seen, "top1": top1 / seen, "top5": top5 / seen}

    def _conclude(self, rate: float, speed: float, trained: dict[str, float], valid: dict[str, float]) -> None:
        """Log the epoch, and decide whether it is the best and whether it is the last."""
        state = self._state
        row = {
            "epoch": float(state.epoch + 1), "lr": rate, "train_ips": speed, "train_loss": trained["loss"],
            "train_error": 1 - trained["top1"], "valid_loss": valid["loss"], "top1_acc": valid["top1"],
            "top5_acc": valid["top5"],
        }  # fmt: skip
        self.report.epoch(row)
        state.rows.append(row)
        if state.best is None or (valid["top1"], -valid["loss"]) > (state.best_accuracy, -state.best_loss):
            state.best = {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}
            state.best_epoch, state.best_accuracy, state.best_loss = state.epoch, valid["top1"], valid["loss"]
        if valid["loss"] < state.lowest_loss:
            state.lowest_loss, state.epochs_since = valid["loss"], 0
        else:
            state.epochs_since += 1
        if state.epochs_since >= self.settings.patience:
            state.stopped = True
            self.report.say("Early stopped.")
        state.epoch, state.step, state.sums = state.epoch + 1, 0, _zeros()

    def _keep(self) -> None:
        """Give the network the weights that are to be saved."""
        if self.settings.keep == "best" and self._state.best is not None:
            self.network.load_state_dict(self._state.best)
            self.report.say(
                f"Keeping the weights of epoch {self._state.best_epoch + 1}, the best "
                f"(top-1 validation accuracy {self._state.best_accuracy:.4f})"
            )

    # -- what may happen ----------------------------------------------------------------------------------------

    def _is_time(self, step: int) -> bool:
        """Whether to write a checkpoint or to end after this step; several processes agree on it now and then."""
        if abandoned() and not self._ending:
            self._ending.append(signal.SIGTERM)
        if self.processes.world_size == 1:
            return bool(self._ending) or self.checkpoint.due
        if (step + 1) % _AGREE_STEPS:
            return False
        due = self.processes.first and self.checkpoint.due
        told = torch.tensor([float(bool(self._ending)), float(due)], device=self.device)
        ends, is_due = self.processes.most(told).tolist()
        if ends and not self._ending:
            self._ending.append(signal.SIGTERM)
        return bool(ends or is_due)

    def save_checkpoint(self) -> None:
        """Write the checkpoint, if there is to be one."""
        if self.processes.first and self.checkpoint.enabled:
            self.checkpoint.save(self._state, network=self.network.state_dict(), optimizer=self._optimizer.state_dict())

    def _save(self) -> None:
        """Write the checkpoint, and end where that was asked for."""
        self.save_checkpoint()
        if self._ending:
            kept = ": the same command goes on from its checkpoint" if self.checkpoint.enabled else ""
            self.report.say(f"Told to end at epoch {self._state.epoch + 1}, step {self._state.step}{kept}")
            raise Interrupted(128 + self._ending[0])

    def _explain(self, error: BaseException, batch: Batch) -> BaseException:
        """The error in the designer's words, where it has some."""
        text = str(error)
        found: ModuleError
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or _says_memory(text):
            found = ModuleOutOfMemoryError(f"{text.splitlines()[0] if text else 'no memory'} {self._advice(batch)}")
        elif "Expected more than 1 value per channel" in text:
            found = GreaterThanOrEqualToError("Batch size", 2 * self.processes.local_world_size)
        elif self.processes.world_size > 1 and any(word in text for word in ("timed out", "NCCL", "Timed out")):
            found = TimeoutOccuredError(text.splitlines()[0])
        else:
            return error
        found.__cause__ = error
        return found

    def _advice(self, batch: Batch) -> str:
        """The largest batch that fits, found by trying."""
        size = self.settings.batch_size
        fitting = largest_fitting(self._try, batch, self.device) if self.processes.world_size == 1 else None
        if fitting is None:
            return f"Use a machine or a GPU with more memory, or a smaller 'Batch size' than {size}."
        return f"A 'Batch size' of {fitting} fits here; {size} does not."

    def _try(self, batch: Batch) -> None:
        self._optimizer.zero_grad()
        self._forward(batch)[1].backward()  # type: ignore[no-untyped-call]
        self._optimizer.zero_grad()


_LOSS, _TOP1, _TOP5, _SEEN = range(4)


def _zeros() -> list[float]:
    return [0.0] * 4


def _seed(seed: int, device: torch.device) -> None:
    """For dropout. Not `torch.manual_seed`: for a GPU that is not used it keeps the stack, which takes its time."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def _exact(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64


def _sums(logits: Tensor, loss: Tensor, labels: Tensor, device: torch.device) -> Tensor:
    """Of a batch: the summed loss, the images whose label is the first and among the first five, all images.

    Stays on the device: to ask a GPU for a number would make it wait.
    """
    ranked = logits.topk(min(_TOP, logits.shape[1]), dim=1).indices == labels[:, None]
    count = torch.full((), len(labels), device=device, dtype=torch.float32)
    values = [loss.float() * len(labels), ranked[:, 0].sum(), ranked.sum(), count]
    return torch.stack([value.to(_exact(device)) for value in values])


def largest_fitting(attempt: Callable[[Batch], None], batch: Batch, device: torch.device) -> int | None:
    """The largest halving of a batch with which `attempt` does not run out of memory; None where there is none."""
    size = len(batch.labels) // 2
    while size >= 1:
        if device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            attempt(Batch(batch.images[:size], batch.labels[:size], batch.positions[:size]))
            return size
        except (RuntimeError, ValueError, MemoryError):  # of one image, batch normalization makes a ValueError
            size //= 2
    return None


def _says_memory(text: str) -> bool:
    """torch's words for memory that cannot be had: those of the CPU's allocator and of the GPU's libraries."""
    words = ("out of memory", "can't allocate memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")
    return any(word in text for word in words)
