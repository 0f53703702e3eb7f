"""Modules whose names are imported when they are first used, on every Python that a script may have."""

import importlib
import sys
import types
from typing import Any, Dict, List


class LazyModule(types.ModuleType):
    """A module that imports each of its offered names when somebody asks for it (PEP 562 is not in Python 3.6)."""

    def __getattr__(self, name: str) -> Any:
        homes: Dict[str, str] = self.__dict__.get("__homes__", {})
        if name not in homes:
            raise AttributeError("module %r has no attribute %r" % (self.__name__, name))
        module, _, attribute = homes[name].partition(":")
        value = importlib.import_module(module)
        if attribute:
            value = getattr(value, attribute)
        setattr(self, name, value)
        return value

    def __dir__(self) -> List[str]:
        return sorted(set(types.ModuleType.__dir__(self)) | set(self.__dict__.get("__homes__", {})))


def offer(module: str, homes: Dict[str, str]) -> None:
    """Let the module of this name have the names of `homes`, each a "module:attribute" or a module.

    Called from the module itself, as in `offer(__name__, {"Run": "toolkit:Run"})`.
    """
    offering = sys.modules[module]
    offering.__dict__["__homes__"] = dict(homes)
    offering.__dict__["__all__"] = sorted(homes)
    offering.__class__ = LazyModule
