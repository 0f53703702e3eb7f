"""Where tensors live: the device that was asked for, and the memory format that suits a network."""

from __future__ import annotations

import os

import torch

from toolkit.inscript.errors import UserErrorException


def choose_device(name: str) -> torch.device:
    """The device called `name`: auto, cpu, cuda, cuda:1 or mps. "auto" is a GPU where there is one.

    Each process that torchrun started gets a GPU of its own.

    Raises:
        UserErrorException: no such device here.
    """
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(one for one, is_there in has.items() if is_there)
    kind, _, index = name.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 0
    if not has.get(kind) or (index and not (index.isdigit() and int(index) < count)):
        there = ", ".join(one for one, is_there in has.items() if is_there)
        raise UserErrorException(f"there is no device {name!r}: torch {torch.__version__} finds {there} here")
    if kind == "cuda":
        return torch.device("cuda", int(index) if index else int(os.environ.get("LOCAL_RANK", 0)) % count)
    return torch.device(kind)
