"""An epoch of Lightning's Trainer on the plain loop's loader. `train(**request)`: see benchmarks/vision/systems.py."""

import logging
import warnings

import lightning
from parts import Clock, loader, network, optimizer
from serve import serve
from torch.nn import functional as F

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
warnings.filterwarnings("ignore")  # it advises more workers than there are cores


class Module(lightning.LightningModule):
    def __init__(self, name):
        super().__init__()
        self.network = network(name)

    def training_step(self, batch, number):
        pixels, labels = batch
        return F.cross_entropy(self.network(pixels), labels)

    def configure_optimizers(self):
        return optimizer(self.parameters())


class Timer(lightning.Callback):
    def __init__(self, *facts):
        self.facts = facts

    def on_train_start(self, trainer, module):
        """Before the loader's processes are started."""
        self.clock = Clock(*self.facts)

    def on_train_batch_end(self, trainer, module, outputs, batch, number):
        self.clock.step()


def train(images, order, batch, size, name, device, cold=False):
    """Images a second."""
    batches = loader(images, batch, order)
    timer = Timer(len(batches), batch, device, cold)
    trainer = lightning.Trainer(
        max_epochs=1, accelerator={"cpu": "cpu", "cuda": "gpu"}[device], devices=1, callbacks=[timer], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Module(name), batches)
    return {"rate": timer.clock.rate}


serve(train)
