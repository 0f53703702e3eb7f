"""`toolkit` as a script inside a run sees it: `from toolkit import Run`, whatever the script's environment has.

A copy of this file stands as `toolkit/__init__.py` on the path of every run. What only control scripts need is there
where the environment has the whole toolkit installed as well; else it can be imported, and says so when it is used.
"""

import os
import sys
from typing import List

_path: List[str] = globals()["__path__"]
for _folder in sys.path:
    _folder = os.path.join(_folder or os.getcwd(), "toolkit")
    if _folder not in _path and os.path.isfile(os.path.join(_folder, "names.py")):
        _path.append(_folder)

from toolkit.inscript.lazy import offer  # noqa: E402
from toolkit.inscript.names import homes_in_a_run  # noqa: E402

offer(__name__, homes_in_a_run())
