"""Modules whose names are imported when they are first used, on every Python that a script may have."""

import importlib
import sys
import types
from typing import Any, Dict, List, Sequence


class LazyModule(types.ModuleType):
    """A module that imports each of its offered names when somebody asks for it (PEP 562 is not in Python 3.6)."""

    def __getattr__(self, name: str) -> Any:
        home = self.__dict__.get("__homes__", {}).get(name)
        if home is not None:
            value = _load(home, name)
        elif name in self.__dict__.get("__absent__", ()):
            from toolkit.inscript.not_offered import placeholder

            value = placeholder(self.__name__, name)
        else:
            raise AttributeError("module %r has no attribute %r" % (self.__name__, name))
        setattr(self, name, value)
        return value

    def __dir__(self) -> List[str]:
        offered = self.__dict__.get("__homes__", {})
        return sorted(set(types.ModuleType.__dir__(self)) | set(offered) | set(self.__dict__.get("__absent__", ())))


def offer(module: str, homes: Dict[str, str], absent: Sequence[str] = ()) -> None:
    """Let the module of this name have the names of `homes`, each a "module:attribute" or a module.

    Called from the module itself, as in `offer(__name__, {"Run": "toolkit:Run"})`.

    Args:
        absent: names that can be imported and raise `NotOffered` when they are used.
    """
    offering = sys.modules[module]
    offering.__dict__["__homes__"] = dict(homes)
    offering.__dict__["__absent__"] = tuple(absent)
    offering.__dict__["__all__"] = sorted(name for name, home in homes.items() if ":" in home and name[0] != "_")
    offering.__class__ = LazyModule


def _load(home: str, name: str) -> Any:
    module, _, attribute = home.partition(":")
    try:
        value: Any = importlib.import_module(module)
        return getattr(value, attribute) if attribute else value
    except ImportError as error:
        missing = getattr(error, "name", None) or ""
        if not module.startswith("toolkit") or not missing.startswith("toolkit."):
            raise
        if hasattr(sys.modules["toolkit"], "__version__"):  # this is the whole toolkit
            raise AttributeError("%s is not there: %s" % (home, error))
        from toolkit.inscript.not_offered import for_control_scripts

        return for_control_scripts(name)
