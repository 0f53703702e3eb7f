"""The names of Azure ML SDK v1, by the toolkit: each is imported from its own home when it is used."""

import os
import sys

from toolkit.inscript.lazy import offer
from toolkit.inscript.not_offered import Finder
from toolkit.inscript.real_sdk import search_path

__path__, _ours = search_path(os.path.dirname(os.path.abspath(__file__)))
if _ours:
    offer(
        __name__, {name: "azureml." + name for name in ("core", "data", "exceptions", "telemetry", "train", "widgets")}
    )
    if Finder not in sys.meta_path:
        sys.meta_path.append(Finder)
