"""Children of submitted runs: logged by the script, or submitted by it or by the control script."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.conftest import Submit, driver_log, wait_until
from toolkit import Environment, Experiment, Run, ScriptRunConfig, Workspace
from toolkit.configuration import TEMPLATE
from toolkit.sweeps import GridParameterSampling, HyperDriveConfig, HyperDriveRun, PrimaryMetricGoal, choice

LOGS_CHILDREN = """
from toolkit import Run
run = Run.get_context()
for fold in range(3):
    with run.child_run("fold %d" % fold) as child:
        child.log("accuracy", fold / 10)
        child.tag("fold", fold)
        assert child.parent.id == run.id and Run.get_context().id == run.id
left = run.create_children(count=1)[0]
left.log("accuracy", 9)
assert [child.get_status() for child in run.get_children()] == ["Running"] + ["Completed"] * 3
print(sorted(run.get_metrics(recursive=True).values(), key=str))
print(run.number > 0, run.type, run.get_details()["runDefinition"]["arguments"], run.get_snapshot_id() is not None)
"""


def check_logged(run: Run) -> None:
    assert run.wait_for_completion()["status"] == "Completed"
    children = {child.display_name: child for child in run.get_children()}
    assert len(children) == 4
    for fold in range(3):
        child = children.pop(f"fold {fold}")
        wait_until(lambda child=child: child.get_status() == "Completed")  # type: ignore[misc]
        assert (child.get_metrics(), child.tags) == ({"accuracy": fold / 10}, {"fold": str(fold)})
        assert child.parent is not None and child.parent.id == run.id
    (left,) = children.values()
    wait_until(lambda: left.get_status() == "Completed")  # the script left it to the end of its process
    assert left.get_metrics() == {"accuracy": 9}
    assert "True azureml.scriptrun ['--lr', '0.1'] True" in driver_log(run)


def test_children_that_the_script_logs(submit: Submit) -> None:
    check_logged(submit(LOGS_CHILDREN, arguments=["--lr", 0.1]))


def test_children_that_a_script_in_a_container_logs(submit: Submit, python_base_image: str) -> None:
    environment = Environment("debian")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = "python3"
    environment.docker.base_image = python_base_image
    check_logged(submit(LOGS_CHILDREN, arguments=["--lr", 0.1], compute_target="docker", environment=environment))


def test_a_script_that_is_killed_leaves_no_child_running(submit: Submit) -> None:
    run = submit("""
        import os
        from toolkit import Run
        child = Run.get_context().child_run()
        child.log("accuracy", 1)
        os.kill(os.getpid(), 9)
    """)
    assert run.wait_for_completion(raise_on_error=False)["status"] == "Failed"
    (child,) = run.get_children()
    wait_until(lambda: child.get_status() in ("Failed", "Canceled"))
    assert child.get_metrics() == {"accuracy": 1}


@pytest.fixture
def wide(workspace: Workspace) -> Workspace:
    workspace.paths.configuration.write_text(TEMPLATE.replace("slots: 1", "slots: 4", 1) + "cancel_grace_seconds: 1\n")
    return workspace


def sleeper(folder: Path, seconds: float) -> ScriptRunConfig:
    folder.mkdir(exist_ok=True)
    (folder / "child.py").write_text(
        f"import time\nfrom toolkit import Run\nRun.get_context().log('slept', {seconds})\ntime.sleep({seconds})\n"
    )
    return ScriptRunConfig(str(folder), script="child.py")


def test_children_are_cancelled_with_their_parent(wide: Workspace, submit: Submit, tmp_path: Path) -> None:
    parent = submit("import time; time.sleep(600)")
    children = [parent.submit_child(sleeper(tmp_path / "child", 600), tags={"number": str(n)}) for n in range(2)]
    wait_until(lambda: all(child.get_metrics() for child in children))
    assert [child.parent.id for child in children] == [parent.id] * 2  # type: ignore[union-attr]
    assert {child.id for child in parent.get_children()} == {child.id for child in children}
    assert [run.id for run in parent.experiment.get_runs()] == [parent.id]
    parent.cancel()
    for run in (parent, *children):
        assert run.wait_for_completion()["status"] == "Canceled"


def test_children_outlive_a_parent_that_completed(wide: Workspace, submit: Submit, tmp_path: Path) -> None:
    parent = submit("import time; time.sleep(1)")
    child = parent.submit_child(sleeper(tmp_path / "child", 3))
    assert parent.wait_for_completion()["status"] == "Completed"
    assert child.wait_for_completion()["status"] == "Completed"
    assert parent.get_metrics(recursive=True) == {parent.id: {}, child.id: {"slept": 3}}


def test_a_script_submits_a_child(wide: Workspace, submit: Submit) -> None:
    run = submit("""
        import os
        from toolkit import Run, ScriptRunConfig
        os.makedirs("other")
        open("other/small.py", "w").write("from toolkit import Run; Run.get_context().log('small', 1)")
        child = Run.get_context().submit_child(ScriptRunConfig("other", script="small.py"))
        print(child.wait_for_completion()["status"], child.get_metrics(), child.parent.id == Run.get_context().id)
    """)
    run.wait_for_completion()
    assert "Completed {'small': 1} True" in driver_log(run)


def test_a_script_asks_its_experiment_for_runs(submit: Submit) -> None:
    run = submit("""
        from toolkit import Run
        run = Run.get_context()
        print([one.id for one in run.experiment.get_runs()] == [run.id], hasattr(run.experiment, "get_run"))
    """)
    run.wait_for_completion()
    assert driver_log(run) == "True False\n"


def test_a_script_without_the_whole_toolkit_is_told(submit: Submit) -> None:
    run = submit(
        """
        from toolkit import Run
        try:
            Run.get_context().submit_child(None)
        except Exception as error:
            print(type(error).__name__, error)
        """,
        environment=without_the_toolkit(),
    )
    run.wait_for_completion()
    assert "UserErrorException run.submit_child(...): " in driver_log(run)
    assert "inside a run it needs the whole toolkit, so add the toolkit to the pip section" in driver_log(run)


def without_the_toolkit() -> Environment:
    """An interpreter that has nothing installed: the one that this one was made from."""
    environment = Environment("bare")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = os.path.realpath(sys.executable)
    return environment


def test_a_chosen_id(workspace: Workspace, submit: Submit, tmp_path: Path) -> None:
    config = sleeper(tmp_path / "child", 0)
    run = Experiment(workspace, "tests").submit(config, run_id="my-own-run")
    assert run.id == "my-own-run" and run.wait_for_completion()["status"] == "Completed"
    for taken in ("my-own-run", "no.dots", "../up"):
        with pytest.raises(Exception, match=r"run_id|id of a run"):
            Experiment(workspace, "tests").submit(config, run_id=taken)


def test_a_parent_that_waits_for_its_child_lends_it_its_slot(submit: Submit) -> None:
    run = submit("""
        import os
        from toolkit import Run, ScriptRunConfig
        os.makedirs("other")
        open("other/small.py", "w").write("print('small')")
        child = Run.get_context().submit_child(ScriptRunConfig("other", script="small.py"))
        print(child.wait_for_completion()["status"])
    """)
    waiting = submit("print('a stranger, who waits for the one slot')")
    run.wait_for_completion()
    assert "Completed" in driver_log(run)
    assert waiting.wait_for_completion()["status"] == "Completed"


def test_a_child_is_a_sweep(wide: Workspace, submit: Submit, tmp_path: Path) -> None:
    parent = submit("import time; time.sleep(600)")
    sweep = HyperDriveConfig(
        hyperparameter_sampling=GridParameterSampling({"--seconds": choice(1, 2)}),
        primary_metric_name="slept",
        primary_metric_goal=PrimaryMetricGoal.MAXIMIZE,
        max_total_runs=2,
        run_config=sleeper(tmp_path / "child", 1),
    )
    child = parent.submit_child(sweep)
    assert isinstance(child, HyperDriveRun) and child.parent is not None and child.parent.id == parent.id
    assert child.wait_for_completion()["status"] == "Completed"
    assert [run.id for run in parent.get_children()] == [child.id]
    assert len([*parent.get_children(recursive=True)]) == 3
    parent.cancel()


def test_a_disk_that_refuses_holds_up_no_other_run(wide: Workspace, submit: Submit, tmp_path: Path) -> None:
    lock = wide.paths.experiments / "tests" / "lock"
    parent = submit("""
        import os, time
        from toolkit import Run
        while not os.path.exists("../go"):
            time.sleep(0.05)
        with Run.get_context().child_run("late") as child:
            child.log("accuracy", 1)
        print("logged", flush=True)
        time.sleep(600)
    """)
    other = submit("import time; time.sleep(1)")
    wait_until(lambda: other.get_status() == "Running")
    lock.unlink()
    lock.mkdir()  # nothing can be added to the experiment
    Path(parent.directory.root, "go").touch()
    wait_until(lambda: os.path.exists(parent.directory.driver_log) and "logged" in driver_log(parent))
    assert other.wait_for_completion()["status"] == "Completed"
    (child,) = parent.get_children()
    assert child.number == 0
    lock.rmdir()
    wait_until(lambda: child.number == 3)
    wait_until(lambda: not (wide.paths.untracked / child.id).exists())
    parent.cancel()
