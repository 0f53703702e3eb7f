"""`import toolkit`, and `from toolkit import Run` inside a script: seconds over the start of the interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.bench import Bench
from benchmarks.figure import Line, at_most_more
from benchmarks.interleave import in_turn, medians
from benchmarks.surroundings import variables

TITLE = "import"

HEAVY = ("mlflow", "torch", "rattler", "docker", "ray", "pandas", "numpy")
_BARE = "bare interpreter"
_PROGRAMS = {
    "import toolkit": "import toolkit",
    "import toolkit, and the names of a control script": (
        "from toolkit import Environment, Experiment, ScriptRunConfig, Workspace"
    ),
    "in-script import (from toolkit import Run)": "from toolkit import Run",
}
_GOAL = at_most_more(0.1, "s")


def measure(bench: Bench) -> Iterator[Line]:
    """Whole processes, from their start to their end."""
    missing: dict[str, str] = {}
    mounted = _mounted(bench)
    measures = {_BARE: partial(_seconds, "pass", "")}
    for what, program in _PROGRAMS.items():
        path = mounted if what.startswith("in-script") else ""
        measures[what] = partial(_seconds, program, path)
    values = medians(in_turn(measures, bench.times(31, 7), missing, warm_up=2))
    for what, program in _PROGRAMS.items():
        heavy = _heavy_modules(program, mounted if what.startswith("in-script") else "")
        note = f"it imports {', '.join(heavy)}" if heavy else ""
        yield Line(what, values[what], values[_BARE], _BARE, "s", _GOAL, note, also=not heavy)


def _mounted(bench: Bench) -> str:
    """The folder that is put on the path of every run."""
    program = "from toolkit.targets.mount import inscript_folder as f; print(f())"
    environment = variables(sys.executable, TOOLKIT_HOME=str(bench.folder("home")))
    answer = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return answer.stdout.strip()


def _environment(path: str) -> dict[str, str]:
    return variables(sys.executable, **({"PYTHONPATH": path} if path else {}))


def _seconds(program: str, path: str) -> float:
    environment = _environment(path)
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=os.sep, check=True)
    return time.perf_counter() - began


def _heavy_modules(program: str, path: str) -> list[str]:
    """Those of `HEAVY` that are imported after the program."""
    program = f"{program}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", program], env=_environment(path), cwd=os.sep, capture_output=True, text=True, check=True
    )
    return answer.stdout.split()
