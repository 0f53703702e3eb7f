"""Trainings by Train PyTorch Model. `train(**request)`: see benchmarks/vision/systems.py."""

import shutil
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "core" / "workers"))

from serve import serve

from toolkit.vision.networks.model_directory import load_trained
from toolkit.vision.networks.untrained import network
from toolkit.vision.training.train import train_pytorch_model

HERE = Path.cwd()
CACHE = HERE / "cache"
SOURCES = Path(__file__).parents[1] / "network"


def untrained(name):
    folder = HERE / "untrained" / name
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        own = {"source_directory": SOURCES} if name == "small" else {}
        network(folder, "small:Small" if name == "small" else name, **own)
    return folder


def train(images, valid, batch, name, device="auto", cold=False, order="", size=0, **more):
    """Images a second in the last epoch, by the product's own clock; its mean loss; the seconds of the whole call.

    Args:
        cold: without decoded images of an earlier training.
        order, size: for the peers; the product knows both.
        more: further parameters of the module.
    """
    if cold:
        shutil.rmtree(CACHE, ignore_errors=True)
    given = untrained(name)
    shutil.rmtree(HERE / "model", ignore_errors=True)
    values = {"epochs": 1, "precision": "float32", "keep": "last", **more}
    began = time.perf_counter()
    train_pytorch_model(
        given, images, valid, HERE / "model", batch_size=batch, device=device, cache_path=CACHE, **values
    )
    seconds = time.perf_counter() - began
    row = load_trained(HERE / "model").metadata["metrics"]
    return {"rate": row["train_ips"], "loss": row["train_loss"], "top1": row["top1_acc"], "seconds": seconds}


serve(train)
