"""The tutorial's torch environment, made anew and used again, against pip, MLflow and conda.

Cold is without the environment and with the packages in everybody's own download cache: each installs once before it
is measured. What is compared is the making of an environment, not the network of the moment.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bench import REPOSITORY, Bench
from benchmarks.figure import Line, at_most_more, at_most_times
from benchmarks.interleave import in_turn, medians
from benchmarks.peers import PeerUnavailable
from benchmarks.workers import Worker, WorkerError

TITLE = "torch environment"

WORKERS = Path(__file__).parent / "workers"
SPECIFICATION = REPOSITORY / "environments" / "pytorch-env.yml"
_SCRIPT = "import torch, torchvision, time; print(time.time(), flush=True)\n"
_PIP, _MLFLOW, _CONDA, _PLAIN = (
    "pip install in a new venv",
    "mlflow run, virtualenv",
    "conda env create",
    "plain python",
)
_LONG = 900.0  # seconds for one install


@dataclass
class Found:
    """Seconds by name, and why a peer has none."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    phases: dict[str, Any] = field(default_factory=dict)

    def median(self, name: str) -> float | None:
        values = self.seconds.get(name)
        return statistics.median(values) if values else None


def measure(bench: Bench) -> Iterator[Line]:
    """Gigabytes each: few times, one environment on the disk at a time."""
    found = Found()
    with ExitStack() as stack:
        plain = stack.enter_context(_plain(bench))
        ours = stack.enter_context(_ours(bench))
        _make_cold(bench, ours, plain, found)
        _make_cold_mlflow(bench, found)
        _make_cold_conda(bench, plain, found)
        warm = _use_again(bench, ours, plain, found.missing)
    phases = ", ".join(f"{name} {value:.1f}" for name, value in found.phases.items() if name.startswith("build"))
    what = "torch environment, cold (packages in the download caches): until torch is imported"
    for peer in (_PIP, _MLFLOW, _CONDA):
        note = found.missing.get(peer) or found.missing.get("ours") or f"ours: {phases} s"
        yield Line(what, found.median("ours"), found.median(peer), peer, "s", at_most_times(0.25), note)
    what = "torch environment, unchanged: submit until torch is imported"
    note = found.missing.get("again", "")
    yield Line(what, warm.get("again"), warm.get(_PLAIN), f"{_PLAIN}, the same environment", "s",
               at_most_more(0.3, "s"), note)  # fmt: skip


def _requirements() -> list[str]:
    """The pip part of the specification: what pip and MLflow are asked for too."""
    import yaml

    dependencies = yaml.safe_load(SPECIFICATION.read_text(encoding="utf-8"))["dependencies"]
    return [str(line) for entry in dependencies if isinstance(entry, dict) for line in entry["pip"]]


def _source(bench: Bench) -> Path:
    folder = bench.scratch / "source"
    folder.mkdir(exist_ok=True)
    (folder / "first.py").write_text(_SCRIPT)
    return folder


def _pip_cache(bench: Bench) -> dict[str, str]:
    """pip's cache beside the peers: three gigabytes that `make clean` removes again."""
    return {"PIP_CACHE_DIR": str(bench.peers.root / ".pip-cache")}


def _ours(bench: Bench) -> Worker:
    settings = {"source": str(_source(bench)), "specification": str(SPECIFICATION)}
    home = {"TOOLKIT_HOME": str(bench.scratch / "home")}
    return Worker(sys.executable, WORKERS / "torch_environment_toolkit.py", bench.folder("toolkit"), settings, home)


def _plain(bench: Bench) -> Worker:
    settings = {
        "script": str(_source(bench) / "first.py"),
        "requirements": _requirements(),
        "conda": shutil.which("conda") or shutil.which("mamba") or "",
        "specification": str(SPECIFICATION),
    }
    base = getattr(sys, "_base_executable", sys.executable)
    worker = WORKERS / "torch_environment_plain.py"
    return Worker(base, worker, bench.folder("plain"), settings, _pip_cache(bench))


def _make_cold(bench: Bench, ours: Worker, plain: Worker, found: Found) -> None:
    """Ours and pip in turn; the first round fills the caches and does not count."""

    def build() -> float:
        bench.say("ours: making the environment")
        answer = ours.ask(cold=True, seconds=_LONG)
        found.phases = answer["phases"]
        return float(answer["seconds"])

    def pip() -> float:
        bench.say(_PIP)
        return float(plain.ask(way="pip", seconds=_LONG)["seconds"])

    found.seconds.update(in_turn({_PIP: pip, "ours": build}, bench.times(2, 1), found.missing, warm_up=1))


def _make_cold_mlflow(bench: Bench, found: Found) -> None:
    """Once: it takes minutes, and pip's cache is warm by now."""
    bench.say(_MLFLOW)
    folder = bench.folder("mlflow")
    (folder / "project").mkdir()
    settings = {
        "project": str(folder / "project"),
        "output": str(folder / "imported.txt"),
        "environments": str(folder / "environments"),
    }
    _write_project(folder / "project", settings["output"])
    environment = {**_pip_cache(bench), "MLFLOW_ENV_ROOT": settings["environments"]}
    try:
        python = bench.peers.python("mlflow", f"mlflow=={importlib.metadata.version('mlflow')}", "virtualenv")
        with Worker(python, WORKERS / "torch_environment_mlflow.py", folder, settings, environment) as worker:
            found.seconds[_MLFLOW] = [float(worker.ask(seconds=_LONG)["seconds"])]
    except (PeerUnavailable, WorkerError) as reason:
        found.missing[_MLFLOW] = str(reason)


def _write_project(project: Path, output: str) -> None:
    lines = "".join(f'  - "{requirement}"\n' for requirement in _requirements())
    version = platform.python_version()
    (project / "python_env.yaml").write_text(f'python: "{version}"\nbuild_dependencies: [pip]\ndependencies:\n{lines}')
    entry = 'entry_points:\n  main:\n    command: "python first.py"\n'
    (project / "MLproject").write_text(f"name: torch\npython_env: python_env.yaml\n{entry}")
    script = f"import torch, torchvision, time; t = time.time()\nopen({output!r}, 'w').write(str(t))\n"
    (project / "first.py").write_text(script)


def _make_cold_conda(bench: Bench, plain: Worker, found: Found) -> None:
    if not (shutil.which("conda") or shutil.which("mamba")):
        found.missing[_CONDA] = "neither conda nor mamba is on this machine"
        return
    bench.say(_CONDA)
    try:
        plain.ask(way="conda", seconds=_LONG)  # fills its cache
        found.seconds[_CONDA] = [float(plain.ask(way="conda", seconds=_LONG)["seconds"])]
    except WorkerError as reason:
        found.missing[_CONDA] = str(reason)


def _use_again(bench: Bench, ours: Worker, plain: Worker, missing: dict[str, str]) -> dict[str, float]:
    """The environment that is there now: a submit, and a plain interpreter of it."""
    bench.say("unchanged")
    try:
        python = str(ours.ask(cold=False, seconds=_LONG)["python"])
    except WorkerError as reason:
        missing["again"] = str(reason)
        return {}
    measures = {
        "again": lambda: float(ours.ask(cold=False)["seconds"]),
        _PLAIN: lambda: float(plain.ask(way="there", python=python)["seconds"]),
    }
    return medians(in_turn(measures, bench.times(7, 3), missing, warm_up=1))
