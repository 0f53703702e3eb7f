"""A real Azure ML SDK in the environment of a script: it is named once, and used unless the toolkit's names are asked.

`TOOLKIT_AZUREML=toolkit` asks for the toolkit's; `toolkit exec` sets it.
"""

import os
import re
import sys
from typing import List, Optional, Tuple

from toolkit.inscript.rundir import RUN_DIRECTORY

CHOICE = "TOOLKIT_AZUREML"
_SAID = "TOOLKIT_AZUREML_SAID"  # to the run that is named in it, by this process or one that started it


def search_path(own: str) -> Tuple[List[str], bool]:
    """Where the modules of `azureml` are looked for, and whether they are the toolkit's.

    Args:
        own: the folder of the toolkit's `azureml` package.

    Of a real SDK without `azureml.core`, as azureml-interpret leaves it, the folders come after the toolkit's.
    """
    others = _others(own)
    core = next((folder for folder in others if os.path.isfile(os.path.join(folder, "core", "__init__.py"))), None)
    if core is None:
        return [own] + others, True
    toolkit_asked = os.environ.get(CHOICE) == "toolkit"
    _say(core, toolkit_asked)
    return ([own], True) if toolkit_asked else (others, False)


def beside(own: str) -> List[str]:
    """The folders of a package below `azureml`, the toolkit's first: see `search_path`.

    Args:
        own: the folder of that package in the toolkit's `azureml`.
    """
    name = os.path.basename(own)
    around = sys.modules["azureml"].__dict__["__path__"]
    return [own] + [os.path.join(folder, name) for folder in around if os.path.join(folder, name) != own]


def _others(own: str) -> List[str]:
    found: List[str] = []
    for entry in sys.path:
        folder = os.path.join(entry or os.getcwd(), "azureml")
        if folder in found or not os.path.isdir(folder) or _is_ours(folder, own):
            continue
        found.append(folder)
    return found


def _is_ours(folder: str, own: str) -> bool:
    """Whether it is the toolkit's, of this version or, where a control script was in a run, of another."""
    if os.path.realpath(folder) == os.path.realpath(own):
        return True
    return os.path.isfile(os.path.join(folder, "_toolkit.py"))


def _version(core: str) -> Optional[str]:
    """The version of azureml-core, as its installed metadata has it."""
    packages = os.path.dirname(os.path.dirname(core))
    try:
        found = [re.match(r"azureml[-_.]core-(.+)\.dist-info$", name, re.IGNORECASE) for name in os.listdir(packages)]
    except OSError:
        return None
    return next((match.group(1) for match in found if match), None)


def _say(azureml: str, toolkit_asked: bool) -> None:
    around = os.environ.get(RUN_DIRECTORY, "no run")
    if os.environ.get(_SAID) == around:
        return
    os.environ[_SAID] = around
    version = _version(os.path.join(azureml, "core"))
    which = "azureml-core%s in %s" % (" " + version if version else "", os.path.dirname(azureml))
    if toolkit_asked:
        text = "the azureml names are the toolkit's; Azure's own SDK is installed as well (%s)" % which
    else:
        text = (
            "Azure's own SDK is installed (%s) and is used: what it logs does not reach the toolkit. To take the "
            "toolkit's azureml names instead, set the environment variable %s=toolkit" % (which, CHOICE)
        )
    print("toolkit: " + text, file=sys.stderr)
