"""`Model` and `run.register_model` in scripts: asked of the tracker, through the run directory, with no MLflow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.agent.test_tracking import tracker_of, whole
from tests.conftest import Submit, driver_log, wait_until
from toolkit import Environment, Run, Workspace
from toolkit.agent import wake
from toolkit.agent.models import client_of
from toolkit.errors import ToolkitError, UserErrorException
from toolkit.inscript.files import read_json
from toolkit.inscript.model import Model
from toolkit.inscript.requests import ask
from toolkit.inscript.rundir import RUN_DIRECTORY
from toolkit.targets.mount import inscript_folder

SCRIPT = """
import os, sys
from toolkit import Run
from toolkit.inscript.model import Model
from toolkit.inscript.errors import WebserviceException

run = Run.get_context()
workspace = run.experiment.workspace
os.makedirs("outputs/net")
open("outputs/net/weights.bin", "w").write("weights")
first = run.register_model("net", model_path="outputs/net", tags={"epoch": 1}, properties={"lr": 0.1},
                           model_framework="PyTorch", description="from inside")
assert (first.id, first.run_id, first.experiment_name) == ("net:1", run.id, "tests"), first.serialize()
open("outputs/net/weights.bin", "w").write("later weights")

open("/tmp/elsewhere-%d.pkl" % os.getpid(), "w").write("else")
second = Model.register(workspace, "/tmp/elsewhere-%d.pkl" % os.getpid(), "net")
os.unlink("/tmp/elsewhere-%d.pkl" % os.getpid())
assert second.version == 2

run.upload_file("kept/one.txt", "outputs/net/weights.bin")
assert run.register_model("uploaded", "kept/one.txt").version == 1
assert open(Model(workspace, "uploaded").download("got")).read() == "later weights"

found = Model(workspace, "net", version=1)
assert (found.tags, found.properties, found.description) == ({"epoch": "1"}, {"lr": "0.1"}, "from inside")
found.add_tags({"late": "x"})
found.add_properties({"more": 1})
assert Model(workspace, id="net:1").tags == {"epoch": "1", "late": "x"}
assert [model.id for model in Model.list(workspace, name="net")] == ["net:2", "net:1"]
assert [model.id for model in Model.list(workspace, tags=[["epoch", "1"]])] == ["net:1"]
path = Model.get_model_path("net", version=1)
assert open(path + "/weights.bin").read() == "weights", path
assert open(found.download("here") + "/weights.bin").read() == "weights"
second.delete()
assert Model(workspace, "net").version == 1
for attempt, words in (
    (lambda: Model(workspace, "absent"), "ModelNotFound: Model with name absent not found in provided workspace"),
    (lambda: Model.get_model_path("absent"), "ModelNotFound: Model with name absent not found in provided workspace"),
    (lambda: found.download("here"), "File already exists. To overwrite, set exist_ok to True"),
    (lambda: Model.register(workspace, "absent", "net"), 'provided model path "absent" cannot be found'),
):
    try:
        attempt()
    except WebserviceException as error:
        assert words in str(error), error
    else:
        raise AssertionError(words)
try:
    run.register_model("a/b", "kept/one.txt")
except Exception as error:
    print("refused", type(error).__name__, error)
assert "mlflow" not in sys.modules
assert os.listdir(os.environ["TOOLKIT_RUN_DIR"] + "/requests") == []
print("done")
"""


def check(workspace: Workspace, run: Run, tmp_path: Path) -> None:
    details = run.wait_for_completion(raise_on_error=False)
    log = driver_log(run)
    assert details["status"] == "Completed", log
    assert "refused UserErrorException MLflow refuses to register the model 'a/b'" in log and log.endswith("done\n")
    whole(run)
    assert not {"requests", "azureml-models"} & set(os.listdir(run.directory.root))
    model = Model(workspace, "net")
    assert (model.version, model.run_id, model.properties) == (1, run.id, {"lr": "0.1", "more": "1"})
    assert (Path(model.download(str(tmp_path / "got"))) / "weights.bin").read_text() == "weights"


def test_script_registers_reads_and_changes_models(submit: Submit, workspace: Workspace, tmp_path: Path) -> None:
    check(workspace, submit(SCRIPT), tmp_path)


def test_script_in_a_container_does_the_same(
    workspace: Workspace, submit: Submit, python_base_image: str, tmp_path: Path
) -> None:
    environment = Environment("bare")
    environment.docker.base_image = python_base_image
    environment.python.user_managed_dependencies = True
    check(workspace, submit(SCRIPT, environment=environment, compute_target="docker"), tmp_path)


def test_child_that_a_script_logs_registers_as_itself(submit: Submit, workspace: Workspace) -> None:
    run = submit(
        """
        from toolkit import Run
        run = Run.get_context()
        with run.child_run("fold 1") as child:
            open("fold.pkl", "w").write("w")
            child.upload_file("fold.pkl", "fold.pkl")
            child.register_model("fold", "fold.pkl")
        print(child.id)
        """
    )
    run.wait_for_completion()
    assert Model(workspace, "fold").run_id == driver_log(run).split()[-1] != run.id


ASKS_WHEN_TOLD = """
import os, time
from toolkit import Run
run = Run.get_context()
open("outputs/net.pkl", "w").write("w")
run.log("ready", 1)
while not os.path.exists("outputs/go"):
    time.sleep(0.02)
print(run.register_model("survivor", "outputs/net.pkl").id)
"""


def test_request_survives_a_killed_agent_and_tracker(submit: Submit, workspace: Workspace) -> None:
    run = submit(ASKS_WHEN_TOLD)
    wait_until(lambda: run.get_metrics("ready") and read_json(run.directory.tracking, {}).get("mlflow_run_id"))
    tracker = tracker_of(workspace)
    agent = int(subprocess.check_output(["ps", "-o", "ppid=", "-p", str(tracker)]))
    os.kill(agent, signal.SIGKILL)
    os.kill(tracker, signal.SIGKILL)
    Path(run.directory.outputs, "go").touch()
    requests = Path(run.directory.root, "requests")
    wait_until(lambda: requests.is_dir() and [*requests.glob("*.json")])
    assert Model.list(workspace, "survivor") == []
    wake.wake(workspace.paths)  # as whoever submits or looks next does
    assert run.wait_for_completion()["status"] == "Completed"
    assert driver_log(run).endswith("survivor:1\n")


def test_request_that_was_done_and_not_told_is_not_done_again(submit: Submit, workspace: Workspace) -> None:
    """A tracker that is ended between MLflow's answer and its own: the next one gives the version that there is."""
    run = submit(ASKS_WHEN_TOLD)
    wait_until(lambda: run.get_metrics("ready") and read_json(run.directory.tracking, {}).get("mlflow_run_id"))
    tracker = tracker_of(workspace)
    os.kill(tracker, signal.SIGSTOP)
    Path(run.directory.outputs, "go").touch()
    requests = Path(run.directory.root, "requests")
    wait_until(lambda: requests.is_dir() and [*requests.glob("*.json")])
    (asked,) = requests.glob("*.json")
    client = client_of(workspace.paths)
    client.create_registered_model("survivor")
    mlflow_run_id = read_json(run.directory.tracking)["mlflow_run_id"]
    tags = {"toolkit.request": f"{run.id}/{asked.stem}", "toolkit.artifact": "registered/net.pkl"}
    client.create_model_version("survivor", "somewhere", mlflow_run_id, tags=tags)
    os.kill(tracker, signal.SIGCONT)
    run.wait_for_completion()
    assert driver_log(run).endswith("survivor:1\n")
    assert [model.id for model in Model.list(workspace, "survivor")] == ["survivor:1"]


def test_without_an_agent_the_script_is_told_what_goes_on(submit: Submit, workspace: Workspace) -> None:
    run = submit("pass")
    run.wait_for_completion()
    whole(run)
    wake.stop(workspace.paths)
    with pytest.raises(
        ToolkitError, match=r"'models.find' was not answered within 0 s.*it does not run.*toolkit doctor"
    ):
        ask(run.directory, "models.find", {}, patience=0.2)
    assert os.listdir(os.path.join(run.directory.root, "requests")) == []


def test_work_that_takes_long_is_waited_for(tmp_path: Path) -> None:
    """As long as somebody touches the mark, the request is not given up; a thread plays the tracker."""
    program = f"""
import json, sys
from toolkit.inscript.requests import ask
from toolkit.inscript.rundir import RunDirectory
print(json.dumps(ask(RunDirectory({str(tmp_path)!r}), "models.find", {{}}, patience=1.0)))
"""
    environment = {**os.environ, "PYTHONPATH": str(inscript_folder())}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
    requests = tmp_path / "requests"
    wait_until(lambda: requests.is_dir() and [*requests.glob("*.json")])
    (asked,) = requests.glob("*.json")
    mark = asked.with_suffix(".work")
    for number in range(8):  # 2 s in all: twice its patience
        mark.write_text(str(number))
        os.utime(mark, (number, number))
        time.sleep(0.25)
    asked.with_name(f"{asked.stem}.reply.json").write_text(json.dumps({"value": ["answered"]}))
    assert json.loads(process.communicate()[0]) == ["answered"]
    assert os.listdir(requests) == []


def test_paths_outside_of_the_run_are_not_read_by_the_tracker(submit: Submit, workspace: Workspace) -> None:
    run = submit(
        """
        import os
        from toolkit.inscript.requests import ask
        from toolkit.inscript.rundir import RunDirectory
        run = RunDirectory(os.environ["TOOLKIT_RUN_DIR"])
        for operation, fields in (
            ("models.register", {"name": "stolen", "path": "/etc/passwd", "facts": {}}),
            ("models.register", {"name": "stolen", "handed_over": "../../run.json/../../../x", "facts": {}}),
            ("models.guess", {}),
        ):
            try:
                ask(run, operation, fields)
            except Exception as error:
                print(type(error).__name__, error)
        """
    )
    run.wait_for_completion()
    first, second, third = driver_log(run).splitlines()
    assert first.startswith('ModelPathNotFoundException Error, the model path "/etc/passwd" is not in the folder')
    assert "is not in the folder" in second
    assert third.startswith("UserErrorException 'models.guess' is nothing that a script can ask for")
    assert Model.list(workspace, "stolen") == []


class TestOffline:
    def test_registers_in_the_workspace_that_it_belongs_to(
        self, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workspace.write_config(tmp_path)
        (tmp_path / "outputs").mkdir()
        (tmp_path / "outputs" / "net.pkl").write_text("w")
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv(RUN_DIRECTORY, raising=False)
        run = Run.get_context()
        model = run.register_model("offline", "outputs/net.pkl", tags={"a": "b"})
        assert (model.id, model.run_id, model.tags) == ("offline:1", None, {"a": "b"})
        run.upload_file("kept.pkl", "outputs/net.pkl")
        assert run.register_model("offline", "kept.pkl").version == 2
        with pytest.raises(UserErrorException, match="Could not locate the provided model_path absent"):
            run.register_model("offline", "absent")

    def test_without_the_whole_toolkit_says_what_is_missing(self, tmp_path: Path, toolkit_home: Path) -> None:
        program = """
from toolkit import Run
open("net.pkl", "w").write("w")
run = Run.get_context()
run.upload_file("net.pkl", "net.pkl")
run.register_model("net", "net.pkl")
"""
        environment = {**os.environ, "PYTHONPATH": str(inscript_folder())}
        command = [sys.executable, "-S", "-c", program]
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
        assert "UserErrorException: models are in a workspace" in answer.stderr
        assert "install the whole toolkit" in answer.stderr
