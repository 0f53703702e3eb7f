"""A network from its description and its weights; needs torch and torchvision and nothing of the toolkit.

A copy of this file goes into the `code/` folder of each trained ModelDirectory, the network's description at its end.
It is the "pickle module" of the MLflow model there, so that `mlflow.pytorch.load_model` reads the plain state dict and
gets the classifier: no class is pickled, the weights are on disk once, and any version of torch can read them.
"""

from __future__ import annotations

import importlib
import os
import pickle
import sys
from collections.abc import Mapping
from typing import Any

import torch

TORCHVISION = "torchvision.models"
DESCRIPTION: dict[str, Any] = {}  # filled in at the end of a copy: see mlflow_model.py


def construct(module: str, name: str, init_params: Mapping[str, Any], num_classes: int, code: str) -> torch.nn.Module:
    """A network with fresh weights, on the CPU.

    Args:
        module: `torchvision.models`, or the module of a user's class.
        name: the network's name there, or the class's.
        init_params: further keyword arguments.
        num_classes: how many outputs it gets.
        code: the folder that a user's module is in.

    Raises:
        TypeError: what `name` is is no class of networks, or makes none.
        Exception: whatever a user's class raises.
    """
    if module == TORCHVISION:
        import torchvision

        network = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **init_params)
    else:
        network = import_class(code, module, name)(num_classes=num_classes, **init_params)
    if not isinstance(network, torch.nn.Module):
        raise TypeError(f"{module}:{name} made a {type(network).__name__}, not a torch.nn.Module")
    return network


def import_class(folder: str, module: str, name: str) -> Any:
    """What is called `name` in a module of the folder, whatever else has the module's name in this process."""
    own = {entry.partition(".")[0] for entry in (*os.listdir(folder), module)}
    others = _take_out(own)
    sys.path.insert(0, folder)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the folder stays as it is
    importlib.invalidate_caches()
    try:
        found = importlib.import_module(module)
        if not str(found.__file__).startswith(os.path.join(folder, "")):
            raise ImportError(f"there is no module {module} in {folder}")
        return getattr(found, name)
    finally:
        sys.dont_write_bytecode = writes
        sys.path.remove(folder)
        if others:
            _take_out(own)
            sys.modules.update(others)


def _take_out(names: set[str]) -> dict[str, Any]:
    return {key: sys.modules.pop(key) for key in list(sys.modules) if key.partition(".")[0] in names}


def classifier(description: Mapping[str, Any], state: Mapping[str, Any], code: str) -> torch.nn.Module:
    """Pixel values in [0, 1], float32 Nx3xHxW, to probabilities of the classes, Nxclasses; in eval mode, on the CPU."""
    from torchvision.transforms import Normalize

    with torch.random.fork_rng(devices=[]):  # the fresh weights go at once: nobody's random numbers shall change
        network = construct(
            description["module"], description["class"], description["init_params"], description["num_classes"], code
        )
    network.load_state_dict(state)
    parts = (Normalize(description["mean"], description["std"]), network, torch.nn.Softmax(1))
    return torch.nn.Sequential(*parts).eval()


class Unpickler(pickle.Unpickler):
    """What `torch.load` takes from its pickle module: here it gives the classifier in place of its state dict."""

    def load(self) -> Any:
        return classifier(DESCRIPTION, super().load(), os.path.dirname(os.path.abspath(__file__)))
