"""What several threads may need at once, and Python fills in at its first use without a lock."""

from __future__ import annotations

import sysconfig
import threading

# Held for the first import of a package of many modules that import each other, as requests, docker and kubernetes are:
# where threads wait for each other's modules Python lets one see half a module, and what failed then fails for ever.
whole = threading.RLock()


def settle() -> None:
    """To be called before threads start that look for programs: before Python 3.13 a second thread sees `sysconfig`
    half filled in, and finds no names of executables in it."""
    sysconfig.get_config_vars()
