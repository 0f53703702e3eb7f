"""`toolkit` as a script inside a run sees it: `from toolkit import Run`, whatever the script's environment has.

A copy of this file stands as `toolkit/__init__.py` on the path of every run. Where the environment has the whole
toolkit installed as well, its other names are there too.
"""

import os
import sys
from typing import List

_path: List[str] = globals()["__path__"]
for _folder in sys.path:
    _folder = os.path.join(_folder or os.getcwd(), "toolkit")
    if _folder not in _path and os.path.isfile(os.path.join(_folder, "names.py")):
        _path.append(_folder)

from toolkit.inscript.errors import RunEnvironmentException, ToolkitError, UserErrorException  # noqa: E402
from toolkit.inscript.run import Run  # noqa: E402

__all__ = ["Run", "RunEnvironmentException", "ToolkitError", "UserErrorException"]


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(name)
    try:
        from toolkit.names import load
    except ImportError:
        raise AttributeError(
            "inside a run, toolkit offers %s; to use toolkit.%s in the script, add the toolkit to the pip section of "
            "its environment" % (", ".join(__all__), name)
        )
    return load(name)
