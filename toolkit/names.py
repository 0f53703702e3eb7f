"""The public names of the toolkit and the modules that hold them: loaded when they are first used."""

from __future__ import annotations

import importlib

from toolkit.inscript.names import HOMES

__all__ = ["HOMES", "load"]


def load(name: str) -> object:
    """The public object `name`, imported from its module.

    Raises:
        AttributeError: the toolkit has no such name.
    """
    try:
        module = HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'toolkit' has no attribute {name!r}") from None
    return getattr(importlib.import_module(module), name)
