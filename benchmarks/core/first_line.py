"""A warm submit to the first line of the script, against a plain process and other launchers on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.figure import Goal, Line, at_most_more, at_most_times
from benchmarks.interleave import in_turn, medians
from benchmarks.peers import PeerUnavailable
from benchmarks.workers import Worker, start_all

TITLE = "submit to first line"

WORKERS = Path(__file__).parent / "workers"
_SCRIPT = "import time; print(time.time(), flush=True)\n"
_COMMAND = "mlflow run --env-manager local"
_KINDS = {"own": "the submitting interpreter", "built": "a built environment"}
_PLAIN = "plain python script.py"
_SCRIPT_OURS = "ours script"
_MLFLOW = ("mlflow=={mlflow}", "virtualenv")
_WARM: dict[str, tuple[str, tuple[str, ...], Goal]] = {  # in a process that lives: name: venv, requirements, goal
    "mlflow.projects.run, imported and warm": ("mlflow", _MLFLOW, at_most_times(0.1)),
    "submitit local": ("submitit", ("submitit",), at_most_times(1)),
    "torchx local_cwd": ("torchx", ("torchx",), at_most_times(1)),
}
_NEW: dict[str, tuple[str, tuple[str, ...], Goal]] = {  # as a person starts it, in a new process
    _COMMAND: ("mlflow", _MLFLOW, at_most_times(0.1)),
    "a submitit control script": ("submitit", ("submitit",), at_most_times(1)),
    "torchx run --scheduler local_cwd": ("torchx", ("torchx",), at_most_times(1)),
}
_PEERS = {**_WARM, **_NEW}


def measure(bench: Bench) -> Iterator[Line]:
    """The clock starts before the call in the control process and is read by the script's first line."""
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        ours = stack.enter_context(_toolkit(bench))
        workers = start_all(stack, _peer_workers(bench, missing), missing)
        measures = _measures(bench, ours, workers)
        values = medians(in_turn(measures, bench.times(15, 4), missing, warm_up=2))
    for kind, label in _KINDS.items():
        what = f"warm submit to the script's first line, {label}"
        name = f"ours {kind}"
        plain = f"{_PLAIN} {kind}"
        yield _line(what, values.get(name), values.get(plain), _PLAIN, at_most_more(0.15, "s"), missing, name)
        yield _line(what, values.get(name), values.get(_COMMAND), _COMMAND, at_most_times(0.1), missing, name)
        for peer, (_, _, goal) in _WARM.items():
            yield _line(what, values.get(name), values.get(peer), peer, goal, missing, name)
    what = "start of a control script (a new process, a warm agent) to the script's first line"
    for peer, (_, _, goal) in _NEW.items():
        yield _line(what, values.get(_SCRIPT_OURS), values.get(peer), peer, goal, missing, _SCRIPT_OURS)


def _line(
    what: str, ours: float | None, peer: float | None, name: str, goal: Goal, missing: dict[str, str], own: str
) -> Line:
    note = missing.get(own, "") if ours is None else missing.get(name, "") if peer is None else ""
    return Line(what, ours, peer, name, "s", goal, note)


def _toolkit(bench: Bench) -> Worker:
    folder = bench.folder("toolkit")
    (folder / "source").mkdir()
    (folder / "source" / "first.py").write_text(_SCRIPT)
    (folder / "requirements.txt").write_text("six\n")  # small, and without MLflow
    settings = {"source": str(folder / "source"), "requirements": str(folder / "requirements.txt")}
    worker = WORKERS / "first_line_toolkit.py"
    return Worker(sys.executable, worker, folder, settings, {"TOOLKIT_HOME": str(folder / "home")})


def _measures(bench: Bench, ours: Worker, workers: dict[str, Worker]) -> dict[str, Callable[[], float]]:
    """What takes turns: ours and a plain process on either interpreter, and the peers."""
    bench.say("building the small environment")
    pythons = {"own": sys.executable}
    ours.ask(kind="own")
    ours.ask(kind="built")
    prefixes = sorted((bench.scratch / "toolkit" / "home" / "environments" / "prefixes").glob("*/bin/python"))
    pythons["built"] = str(prefixes[0]) if prefixes else sys.executable
    measures: dict[str, Callable[[], float]] = {}
    for kind in _KINDS:
        measures[f"ours {kind}"] = partial(_seconds, ours, kind=kind)
        if _PLAIN in workers:
            measures[f"{_PLAIN} {kind}"] = partial(_seconds, workers[_PLAIN], python=pythons[kind])
    measures[_SCRIPT_OURS] = partial(_seconds, ours, kind="script")
    for name in _PEERS:
        if name in workers:
            measures[name] = partial(_seconds, workers[name], way="command" if name in _NEW else "function")
    return measures


def _seconds(worker: Worker, **request: Any) -> float:
    return float(worker.ask(**request)["seconds"])


def _peer_workers(bench: Bench, missing: dict[str, str]) -> dict[str, Worker]:
    script = bench.scratch / "first.py"
    script.write_text(_SCRIPT)
    settings = {"script": str(script)}
    workers = {_PLAIN: Worker(sys.executable, WORKERS / "first_line_plain.py", bench.folder("plain"), settings)}
    for name, (venv, requirements, _) in _PEERS.items():
        try:
            python = bench.peers.python(venv, *(one.format(mlflow=_mlflow_version()) for one in requirements))
        except PeerUnavailable as reason:
            missing[name] = str(reason)
            continue
        folder = bench.folder(name.replace(" ", "-"))
        given = _project(folder) if venv == "mlflow" else settings
        workers[name] = Worker(python, WORKERS / f"first_line_{venv}.py", folder, given)
    return workers


def _project(folder: Path) -> dict[str, str]:
    """The same script as an MLflow project. Its standard output is MLflow's, so it writes its time to a file."""
    project = folder / "project"
    project.mkdir()
    output = folder / "first.txt"
    (project / "MLproject").write_text('name: first\nentry_points:\n  main:\n    command: "python first.py"\n')
    (project / "first.py").write_text(f"import time; t = time.time()\nopen({str(output)!r}, 'w').write(str(t))\n")
    return {"project": str(project), "output": str(output)}


def _mlflow_version() -> str:
    """Ours, so that the same MLflow is on both sides."""
    import importlib.metadata

    return importlib.metadata.version("mlflow")
