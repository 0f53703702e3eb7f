"""The `azureml` names for a process that was not started by `toolkit exec`: a notebook, say.

import toolkit.compat

toolkit.compat.enable()
from azureml.core import Workspace
"""

import os
import sys

from toolkit.inscript.real_sdk import CHOICE

FOLDER = os.path.dirname(os.path.abspath(__file__))


def enable() -> None:
    """Let `import azureml.core` find the toolkit from now on, in this process and in those that it starts.

    Raises:
        RuntimeError: Azure's own SDK was imported before.
    """
    loaded = getattr(sys.modules.get("azureml.core"), "__file__", None)
    if loaded and not loaded.startswith(FOLDER):
        raise RuntimeError(
            "azureml.core was imported from %s before toolkit.compat.enable(): start Python (or the notebook's kernel) "
            "anew, and call it first" % os.path.dirname(loaded)
        )
    os.environ[CHOICE] = "toolkit"
    if FOLDER not in sys.path:
        sys.path.insert(0, FOLDER)
    inherited = os.environ.get("PYTHONPATH", "")
    if FOLDER not in inherited.split(os.pathsep):
        os.environ["PYTHONPATH"] = FOLDER + (os.pathsep + inherited if inherited else "")
