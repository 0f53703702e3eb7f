"""Importing the `azureml` names in a script of a run: seconds over the start of the interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.bench import Bench
from benchmarks.core.import_time import HEAVY
from benchmarks.figure import Line, at_most_more
from benchmarks.interleave import in_turn, medians
from benchmarks.surroundings import variables

TITLE = "in-script import of the azureml names"

_BARE = "bare interpreter"
_PROGRAMS = (
    "from azureml.core import Run",
    "from azureml.core import Run, Workspace",
    "from azureml.core import Run, Dataset",
    "from azureml.core.model import Model",
)
_GOAL = at_most_more(0.1, "s")


def measure(bench: Bench) -> Iterator[Line]:
    """Whole processes, from their start to their end, with what every run has on its path and nothing else of ours."""
    missing: dict[str, str] = {}
    path = _mounted(bench)
    measures = {_BARE: partial(_seconds, "pass", path)}
    measures.update({program: partial(_seconds, program, path) for program in _PROGRAMS})
    values = medians(in_turn(measures, bench.times(31, 5), missing, warm_up=2))
    for program in _PROGRAMS:
        heavy = _heavy_modules(program, path)
        note = f"it imports {', '.join(heavy)}" if heavy else ""
        yield Line(f"in-script: {program}", values[program], values[_BARE], _BARE, "s", _GOAL, note, also=not heavy)


def _mounted(bench: Bench) -> str:
    """What every run gets on its PYTHONPATH."""
    program = "import os; from toolkit.targets.mount import python_path as p; print(os.pathsep.join(p()))"
    environment = variables(sys.executable, TOOLKIT_HOME=str(bench.folder("home")))
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def _seconds(program: str, path: str) -> float:
    environment = variables(sys.executable, PYTHONPATH=path)
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=os.sep, check=True)
    return time.perf_counter() - began


def _heavy_modules(program: str, path: str) -> list[str]:
    """Those of `HEAVY` that are imported after the program."""
    program = f"{program}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    environment = variables(sys.executable, PYTHONPATH=path)
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, env=environment, cwd=os.sep, capture_output=True, text=True, check=True
    ).stdout.split()
