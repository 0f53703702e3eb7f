"""The workspace as scripts see it: in a run, beside one, with and without the whole toolkit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Submit, driver_log
from toolkit import Environment, Workspace
from toolkit.inscript.errors import UserErrorException, WorkspaceException
from toolkit.inscript.workspace import ScriptWorkspace, offline_workspace

SEEN = """
import json, sys
from azureml.core import Run, Workspace
run = Run.get_context()
workspace = run.experiment.workspace
found = {
    "name": workspace.name,
    "subscription": workspace.subscription_id,
    "group": workspace.resource_group,
    "location": workspace.location,
    "same": [Workspace.from_config().name, Workspace.get(name="test").name, Workspace("s", "g", "test").name],
    "class": isinstance(workspace, Workspace),
    "secret": run.experiment.workspace.get_default_keyvault().get_secret("token"),
    "datastore": workspace.get_default_datastore().name,
    "datasets": list(workspace.datasets),
}
try:
    found["targets"] = sorted(workspace.compute_targets)
except AttributeError as error:
    found["targets"] = str(error)
try:
    Workspace.get(name="nowhere")
except Exception as error:
    found["other"] = str(error)
print(json.dumps(found))
"""


def seen(run_log: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(run_log.splitlines()[-1])
    return found


@pytest.fixture
def bare_python(tmp_path: Path) -> str:
    """A Python that has nothing installed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    return str(tmp_path / "bare" / "bin" / "python")


@pytest.fixture
def facts(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    workspace._facts = {}
    workspace.update(tags={"a": "b"})
    workspace._subscription_id, workspace._resource_group = "sub", "group"
    workspace.get_default_keyvault().set_secret("token", "hidden")


@pytest.mark.usefixtures("facts")
def test_in_a_run_without_the_toolkit(submit: Submit, bare_python: str) -> None:
    environment = Environment("bare")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = bare_python
    run = submit(SEEN, environment=environment)
    assert run.wait_for_completion(raise_on_error=False)["status"] == "Completed", driver_log(run)
    found = seen(driver_log(run))
    assert (found["name"], found["same"], found["class"]) == ("test", ["test", "test", "test"], True)
    assert (found["secret"], found["location"], found["datasets"]) == ("hidden", "local", [])
    assert found["datastore"] == Workspace.get("test").get_default_datastore().name
    assert "add the toolkit to the pip section of the script's environment" in str(found["targets"])
    assert str(found["other"]).startswith("there is no workspace 'nowhere' that this process can see")


@pytest.mark.usefixtures("facts")
def test_in_a_run_with_the_toolkit(submit: Submit) -> None:
    run = submit(SEEN)
    assert run.wait_for_completion(raise_on_error=False)["status"] == "Completed", driver_log(run)
    found = seen(driver_log(run))
    assert found["targets"] == ["cpu-cluster", "docker", "gpu", "local"]
    assert (found["name"], found["secret"]) == ("test", "hidden")


@pytest.mark.usefixtures("facts")
def test_in_a_container(submit: Submit, engine: str, python_base_image: str) -> None:
    environment = Environment("base")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = "/usr/bin/python3"
    environment.docker.base_image = python_base_image
    run = submit(SEEN, environment=environment, compute_target="docker")
    assert run.wait_for_completion(raise_on_error=False)["status"] == "Completed", driver_log(run)
    found = seen(driver_log(run))
    assert (found["name"], found["subscription"], found["group"]) == ("test", "sub", "group")
    assert (found["secret"], found["datasets"]) == ("hidden", [])
    assert str(found["other"]).startswith("there is no workspace 'nowhere'")


def test_outside_a_run(tmp_path: Path, toolkit_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fallback = offline_workspace()
    assert (type(fallback), fallback.name) == (ScriptWorkspace, "default")
    assert fallback.shared.root == str(toolkit_home / "workspaces" / "default")
    with pytest.raises(UserErrorException, match="`toolkit init NAME`"):
        ScriptWorkspace.from_config()
    made = Workspace.create("mine")
    made.write_config()
    assert isinstance(offline_workspace(), Workspace) and offline_workspace().name == "mine"
    assert ScriptWorkspace.from_config().shared.root == str(made.paths.root)
    assert not (toolkit_home / "workspaces" / "default").exists(), "asking makes nothing"


@pytest.mark.parametrize("name", ["../test", ".", "a/b"])
def test_names_that_lead_elsewhere(name: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLKIT_RUN_DIR", os.fspath(workspace.paths.runs / "run"))
    assert ScriptWorkspace().name == "test"
    with pytest.raises(WorkspaceException):
        ScriptWorkspace.get(name)


def test_its_attributes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLKIT_RUN_DIR", os.fspath(workspace.paths.runs / "run"))
    found = ScriptWorkspace()
    assert found.experiments == {} and found.paths == workspace.paths, "by the whole toolkit, which is here"
    assert found.get_details() == workspace.get_details()
    assert found.get_mlflow_tracking_uri() == workspace.get_mlflow_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there")
    assert found.get_mlflow_tracking_uri() == "http://there"
    assert not hasattr(found, "nothing")
