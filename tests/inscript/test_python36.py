"""The in-script side on a real Python 3.6, by itself and through the local target."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Submit, driver_log, needs
from tests.inscript import test_model
from toolkit import Environment, Workspace
from toolkit.inscript import spool
from toolkit.inscript.metrics import collect
from toolkit.targets.mount import inscript_folder, python_path

WHOLE_API = """
import io, os, sys
assert sys.version_info[:2] == (3, 6)
from toolkit import Run, RunEnvironmentException, UserErrorException
run = Run.get_context()
for number in range(3):
    run.log("loss", number / 2)
run.log("nan", float("nan"))
run.log("stepped", 1.0, step=10)
run.log("odd", object())
run.log_list("curve", [1, 2])
run.log_row("fit", epoch=1, loss=0.5)
run.log_table("grid", {"x": [1, 2], "y": [3, 4]})
os.makedirs("made", exist_ok=True)
open("made/plot.png", "wb").write(b"png")
run.log_image("plot", path="made/plot.png")
run.log_image("none")
run.upload_file("kept/stream.txt", io.BytesIO(b"stream"))
run.upload_folder("folder", "made")
try:
    run.upload_file("../outside", "made/plot.png")
except UserErrorException:
    print("refused")
run.tag("a", 1)
run.set_tags({"b": 2})
run.remove_tags(["b"])
run.add_properties({"p": 3})
assert run.get_tags()["a"] == "1" and run.get_properties()["p"] == "3"
assert run.get_metrics("loss") == {"loss": [0.0, 0.5, 1.0]}
run.flush()
if os.fork() == 0:
    run.log("loss", 9.0)
    os._exit(0)
os.wait()
print(run.id, run.experiment.name, run.parent)
run.complete()
"""
METRICS = {
    "loss": [0.0, 0.5, 1.0, 9.0], "stepped": 1.0, "curve": [1, 2], "fit": {"epoch": 1, "loss": 0.5},
    "grid": {"x": [1, 2], "y": [3, 4]}, "plot": "plot.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def python36() -> str:
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    candidates = [*sorted(root.glob("versions/3.6*/bin/python3.6")), shutil.which("python3.6"), "/usr/bin/python3.6"]
    for candidate in filter(None, candidates):
        command = [str(candidate), "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 6))"]
        if os.path.exists(candidate) and subprocess.run(command, capture_output=True).returncode == 0:
            return str(candidate)
    needs(False, "a Python 3.6 (in pyenv's folder or on the PATH)")
    raise AssertionError


def check(metrics: dict[str, object]) -> None:
    nan, odd = metrics.pop("nan"), metrics.pop("odd")
    assert nan != nan and "object object" in str(odd)
    assert metrics == METRICS


def test_vision_says_which_python_it_needs(python36: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(inscript_folder())}
    command = [python36, "-c", "import toolkit.vision"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr.strip().endswith("ImportError: toolkit.vision needs Python 3.10 or later, and this is 3.6")


def test_every_module_compiles(python36: str) -> None:
    package = inscript_folder() / "toolkit"
    folders = [str(package / name) for name in ("inscript", "data", "compat", "__init__.py")]
    command = [python36, "-W", "error", "-m", "compileall", "-q", *folders]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_a_script_by_itself(python36: str, tmp_path: Path, toolkit_home: Path) -> None:
    """With the mounted package on the path, outside a run: the offline run."""
    (tmp_path / "train.py").write_text(WHOLE_API)
    environ = {**os.environ, "PYTHONPATH": str(inscript_folder())}
    command = [python36, "-W", "error", "train.py"]
    answer = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert "Attempted to log scalar metric loss:" in lines and "refused" in lines
    run_id, experiment, parent = lines[-1].split()
    assert (experiment, parent) == ("offline", "None")
    check(collect(spool.read_all(str(toolkit_home / "offline" / run_id / "spool"))))


def test_a_run_of_the_local_target(python36: str, submit: Submit) -> None:
    environment = Environment("old")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = python36
    run = submit(WHOLE_API, environment=environment)
    details = run.wait_for_completion()
    assert details["status"] == "Completed"
    lines = driver_log(run).splitlines()
    assert "refused" in lines and lines[-1] == f"{run.id} tests None"
    check(run.get_metrics())
    assert {"kept/stream.txt", "folder/plot.png", "plot.png", "azureml-logs/70_driver_log.txt"} <= {
        *run.get_file_names()
    }
    assert run.get_tags() == {"a": "1"}


def test_models_in_a_run(python36: str, submit: Submit, workspace: Workspace, tmp_path: Path) -> None:
    environment = Environment("old")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = python36
    run = submit(test_model.SCRIPT, environment=environment)
    test_model.check(workspace, run, tmp_path)


def test_a_name_that_only_the_whole_toolkit_has_says_how_to_get_it(python36: str, tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(python_path())}
    for python, code in (
        (sys.executable, "import toolkit; toolkit.ScriptRunConfig('src')"),
        (python36, "from toolkit import ScriptRunConfig; ScriptRunConfig('src')"),
        (python36, "from azureml.core import ScriptRunConfig; ScriptRunConfig('src')"),
    ):
        command = [python, "-S", "-c", code]  # without site-packages
        answer = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=tmp_path)
        assert "add the toolkit to the pip section of the script's environment" in answer.stderr


def test_every_azureml_name_can_be_imported(python36: str, tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(python_path())}
    code = """
import importlib, os, toolkit.compat
root = os.path.join(toolkit.compat.FOLDER)
for folder, _, names in os.walk(os.path.join(root, "azureml")):
    for name in names:
        path = os.path.relpath(os.path.join(folder, name), root)
        if path.endswith(".py"):
            module = importlib.import_module(path[:-3].replace(os.sep, ".").replace(".__init__", ""))
            for one in dir(module):
                getattr(module, one)
try:
    import azureml.pipeline
except ImportError as error:
    print(error)
"""
    answer = subprocess.run(
        [python36, "-W", "error", "-c", code], capture_output=True, text=True, env=environ, cwd=tmp_path
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("azureml.pipeline is pipelines, which the toolkit does not offer; instead: ")
