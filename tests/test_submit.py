"""Submitting: what is refused, with its message and nothing written, and what a run gets."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Submit, driver_log
from toolkit import (
    ActivityFailedException,
    ComputeTarget,
    ComputeTargetException,
    Environment,
    Experiment,
    RunConfiguration,
    ScriptRunConfig,
    SnapshotException,
    UserErrorException,
    Workspace,
)
from toolkit.cli import main
from toolkit.inscript.files import read_json


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "train.py").write_text("print('hello')")
    return folder


Refused = Callable[..., str]


@pytest.fixture
def refused(workspace: Workspace, source: Path) -> Refused:
    """`refused(**options)`: the message of a submit that is refused. Nothing is written by it."""

    def submit(error: type[UserErrorException] = UserErrorException, **options: Any) -> str:
        before = {path for path in workspace.paths.root.rglob("*") if workspace.paths.agent not in path.parents}
        options = {"source_directory": str(source), "script": "train.py", **options}
        with pytest.raises(error) as caught:
            Experiment(workspace, "tests").submit(ScriptRunConfig(**options))
        after = {path for path in workspace.paths.root.rglob("*") if workspace.paths.agent not in path.parents}
        assert after == before, "nothing is written"
        return str(caught.value)

    return submit


# -- bad input ----------------------------------------------------------------------------------------------------


def test_an_unknown_target(refused: Refused, workspace: Workspace) -> None:
    message = refused(ComputeTargetException, compute_target="gpu-cluster")
    assert message == (
        "ComputeTargetNotFound: Compute Target with name gpu-cluster not found in provided workspace. It has: "
        f"cpu-cluster, docker, gpu, local. Use one of them, or add it to {workspace.paths.configuration} by\n"
        "  toolkit compute add gpu-cluster --kind docker|kubernetes|local|ray|slurm|ssh"
    )
    with pytest.raises(ComputeTargetException, match="ComputeTargetNotFound: Compute Target with name gpu-cluster not"):
        ComputeTarget(workspace, "gpu-cluster")


def test_the_command_that_adds_a_target_works(submit: Submit, workspace: Workspace) -> None:
    assert main(["compute", "add", "gpu-cluster", "--kind", "local", "-w", workspace.name]) == 0
    run = submit("print(1)", compute_target=ComputeTarget(workspace, "gpu-cluster"))
    assert run.wait_for_completion()["target"] == "gpu-cluster"


@pytest.mark.parametrize("target", [3, "", object()])
def test_a_target_that_is_none(target: object, source: Path) -> None:
    with pytest.raises(UserErrorException, match="give the name of a compute target, or a ComputeTarget"):
        ScriptRunConfig(str(source), script="train.py", compute_target=target)


def test_a_script_that_is_missing(refused: Refused, source: Path) -> None:
    message = refused(script="tarin.py")
    assert message == (
        "tarin.py script path doesn't exist. The script should be inside the project folder "
        f"'{source}'; there it has: train.py"
    )


def test_a_script_outside(refused: Refused, source: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("print(1)")
    (source / "link.py").symlink_to(tmp_path / "outside.py")
    for script in ("../outside.py", str(tmp_path / "outside.py"), str(source / "train.py"), "link.py", "../source"):
        assert "The script should be inside the project folder" in refused(script=script)


def test_a_script_that_the_ignore_file_leaves_out(refused: Refused, source: Path) -> None:
    (source / ".amlignore").write_text("train.py\n")
    message = refused()
    assert "train.py" in message and ".amlignore" in message


def test_a_source_directory_that_is_none(refused: Refused, source: Path) -> None:
    for folder in (source / "none", source / "train.py"):
        assert f"source_directory '{folder}' is not a folder (looked in " in refused(source_directory=str(folder))


def test_no_script_and_no_command(refused: Refused) -> None:
    assert "needs a script, as in script='train.py', or a command" in refused(script=None)


def test_types_that_cannot_be(source: Path, workspace: Workspace) -> None:
    with pytest.raises(UserErrorException, match="environment is 'mine': it takes an Environment"):
        ScriptRunConfig(str(source), "train.py", environment="mine")  # type: ignore[arg-type]
    with pytest.raises(UserErrorException, match="tags must be a dictionary"):
        Experiment(workspace, "tests").submit(ScriptRunConfig(str(source), Path("train.py")), tags="x")  # type: ignore[arg-type]


def test_both_script_and_command(source: Path) -> None:
    with pytest.raises(UserErrorException, match="takes a script or a command, not both"):
        ScriptRunConfig(str(source), script="train.py", command="ls")


@pytest.mark.parametrize("arguments", ["--lr 0.1", b"--lr", 3, [["--lr"]], [None], [b"x"], [{"a": 1}]])
def test_arguments_that_cannot_be(arguments: Any, refused: Refused) -> None:
    assert "argument" in refused(arguments=arguments)


@pytest.mark.parametrize("seconds", [0, -1, "long", float("nan")])
def test_durations_that_cannot_be(seconds: Any, refused: Refused) -> None:
    message = refused(max_run_duration_seconds=seconds)
    assert message == f"max_run_duration_seconds is {seconds!r}; it must be a number of seconds above 0"


def test_an_interpreter_that_is_not_there(refused: Refused) -> None:
    environment = Environment("mine")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = "/no/such/python"
    assert "there is no interpreter '/no/such/python'" in refused(environment=environment)


def test_something_else_than_a_config(workspace: Workspace) -> None:
    with pytest.raises(UserErrorException, match="submit takes a ScriptRunConfig, not a str"):
        Experiment(workspace, "tests").submit("train.py")  # type: ignore[arg-type]


def test_a_broken_workspace_yaml(refused: Refused, workspace: Workspace) -> None:
    workspace.paths.configuration.write_text("compute_targets: [\n")
    assert f"{workspace.paths.configuration} is not valid YAML" in refused()


def test_over_the_limit(refused: Refused, source: Path, workspace: Workspace, submit: Submit) -> None:
    workspace.paths.configuration.write_text("snapshot_limit_mb: 1\n")
    (source / "data").mkdir()
    (source / "data" / "large.bin").write_bytes(b"x" * 1_500_000)
    message = refused(SnapshotException)
    assert message.startswith(
        f"Your total snapshot size exceeds the limit of 1 MB: source_directory {source} has 1.5 MB"
    )
    assert "data/large.bin" in message and ".amlignore" in message and "snapshot_limit_mb" in message
    (source / ".amlignore").write_text("data/\n")
    config = ScriptRunConfig(str(source), script="train.py")
    assert Experiment(workspace, "tests").submit(config).wait_for_completion()["status"] == "Completed"


# -- environments that cannot be had ------------------------------------------------------------------------------


@pytest.mark.shared_home
class TestEnvironmentsThatFail:
    def failed(self, submit: Submit, tmp_path: Path, text: str, words: list[str]) -> None:
        """The run fails with the solver's own words, which are in the build log as well, and the log is kept."""
        (tmp_path / "env.yml").write_text(text)
        environment = Environment.from_conda_specification("mine", tmp_path / "env.yml")
        run = submit("print('never')", environment=environment)
        with pytest.raises(ActivityFailedException):
            run.wait_for_completion()
        error = run.get_details()["error"]["error"]
        assert error["code"] == "EnvironmentBuildError"
        assert not os.path.islink(run.directory.build_log)
        log = Path(run.directory.build_log).read_text()
        for word in words:
            assert word in error["message"], error["message"]
            assert word in log, log
        assert "azureml-logs/20_image_build_log.txt" in run.get_file_names()
        assert not os.path.exists(run.directory.driver_log)

    def test_a_pin_that_no_interpreter_satisfies(
        self, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
        text = "dependencies:\n  - python=3.4.9\n  - pip\n"
        self.failed(submit, tmp_path, text, ["no Python on this machine satisfies 'python=3.4.9'", "loosen the pin"])

    def test_pip_requirements_that_exclude_each_other(self, submit: Submit, tmp_path: Path) -> None:
        text = "dependencies:\n  - python\n  - pip:\n    - iniconfig>=2\n    - iniconfig<2\n"
        self.failed(submit, tmp_path, text, ["iniconfig>=2", "iniconfig<2", "unsatisfiable"])

    def test_a_package_that_is_nowhere(self, submit: Submit, tmp_path: Path) -> None:
        text = "dependencies:\n  - python\n  - pip:\n    - no-such-package-at-all-12345\n"
        self.failed(submit, tmp_path, text, ["no-such-package-at-all-12345"])


# -- what a run gets ----------------------------------------------------------------------------------------------


@pytest.mark.shared_home
class TestWhatARunGets:
    def test_its_id(self, submit: Submit) -> None:
        run = submit("from toolkit import Run; print(Run.get_context().id)", experiment="day1")
        assert re.fullmatch(r"day1_\d{10}_[0-9a-f]{8}", run.id)
        run.wait_for_completion()
        assert driver_log(run).strip() == run.id

    def test_submit_returns_before_the_run_has_started(self, submit: Submit) -> None:
        run = submit("import time; time.sleep(600)")
        assert run.status in ("NotStarted", "Starting", "Queued", "Running")

    def test_the_environment_and_target_may_be_set_after_construction(self, workspace: Workspace, source: Path) -> None:
        environment = Environment("after")
        environment.environment_variables = {"FROM": "environment", "BOTH": "environment"}
        (source / "train.py").write_text("import os; print(os.environ['FROM'], os.environ['BOTH'])")
        config = ScriptRunConfig(source_directory=str(source), script="train.py", compute_target="local")
        config.run_config.environment = environment
        config.run_config.target = "cpu-cluster"
        config.run_config.environment_variables = {"BOTH": "run"}
        run = Experiment(workspace, "tests").submit(config)
        assert run.wait_for_completion()["target"] == "cpu-cluster"
        assert driver_log(run) == "environment run\n"
        assert run._definition()["environment"]["name"] == "after"

    def test_a_run_config_of_its_own(self, workspace: Workspace, source: Path) -> None:
        run_config = RunConfiguration(script="train.py", arguments=["--x", 1])
        (source / "train.py").write_text("import sys; print(sys.argv[1:])")
        with pytest.warns(UserWarning, match="run_config is given, so compute_target is ignored: set them"):
            config = ScriptRunConfig(str(source), run_config=run_config, compute_target="ignored")
        run = Experiment(workspace, "tests").submit(config)
        run.wait_for_completion()
        assert driver_log(run) == "['--x', '1']\n"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ScriptRunConfig(str(source), run_config=run_config)

    def test_a_command(self, workspace: Workspace, source: Path) -> None:
        for command in ("echo one | tr a-z A-Z", ["echo", "one", "|", "tr", "a-z", "A-Z"]):
            config = ScriptRunConfig(str(source), command=command)
            run = Experiment(workspace, "tests").submit(config)
            run.wait_for_completion()
            assert driver_log(run) == "ONE\n"

    def test_python_in_a_command_is_the_one_that_scripts_are_run_with(self, workspace: Workspace, source: Path) -> None:
        config = ScriptRunConfig(str(source), command="python -c 'import sys; print(sys.executable)'")
        run = Experiment(workspace, "tests").submit(config)
        run.wait_for_completion()
        assert Path(driver_log(run).strip()).parent == Path(sys.executable).parent

    def test_arguments_of_every_kind(self, submit: Submit) -> None:
        arguments = ["--lr", 0.1, "--n", 3, "--on", True, Path("a/b"), ""]
        run = submit("import sys; print(sys.argv[1:])", arguments=arguments)
        run.wait_for_completion()
        assert driver_log(run).strip() == str(["--lr", "0.1", "--n", "3", "--on", "True", "a/b", ""])

    def test_the_sources_as_they_were_at_submit(self, workspace: Workspace, source: Path) -> None:
        (source / "helper.py").write_text("WORD = 'before'")
        (source / "train.py").write_text(
            "import os, helper\nprint(helper.WORD, os.path.samefile('.', os.path.dirname(os.path.abspath(__file__))))"
        )
        first = Experiment(workspace, "tests").submit(ScriptRunConfig(str(source), script="train.py"))
        (source / "helper.py").write_text("WORD = 'after!'")
        second = Experiment(workspace, "tests").submit(ScriptRunConfig(str(source), script="train.py"))
        (source / "helper.py").unlink()
        for run, word in ((first, "before"), (second, "after!")):
            run.wait_for_completion()
            assert driver_log(run) == f"{word} True\n"
        assert first.get_snapshot_id() != second.get_snapshot_id()

    def test_v1_s_variables(self, submit: Submit) -> None:
        run = submit(
            """
            import os
            for name in ("RUN_ID", "ARM_PROJECT_NAME", "ARM_WORKSPACE_NAME", "OUTPUT_DIRECTORY"):
                print(os.environ["AZUREML_" + name])
            print("MLFLOW_TRACKING_URI" in os.environ, os.environ["MLFLOW_RUN_ID"])
            """
        )
        run.wait_for_completion()
        identity, experiment, workspace, outputs, *mlflow = driver_log(run).split()
        assert (identity, experiment, workspace, outputs) == (run.id, "tests", "test", run.directory.outputs)
        assert mlflow == ["True", read_json(run.directory.tracking)["mlflow_run_id"]]

    def test_tags_are_there_at_once(self, submit: Submit, workspace: Workspace, source: Path) -> None:
        config = ScriptRunConfig(str(source), script="train.py")
        run = Experiment(workspace, "tests").submit(config, tags={"a": 1})  # type: ignore[dict-item]
        assert run.get_tags() == {"a": "1"}

    def test_it_inherits_nothing_of_a_run_that_submits_it(self, submit: Submit, monkeypatch: Any) -> None:
        """What tells a script on a host that it does not see its workspace, say: this one does."""
        own = ["TOOLKIT_ELSEWHERE", "TOOLKIT_NO_ANSWERS", "MLFLOW_EXPERIMENT_ID"]
        for name in own:
            monkeypatch.setenv(name, "the submitter's")
        run = submit(f'import os; print([name for name in {own} if os.environ.get(name) == "the submitter\'s"])')
        run.wait_for_completion()
        assert driver_log(run) == "[]\n"

    def test_a_run_inside_a_run(self, submit: Submit, workspace: Workspace) -> None:
        """A script that submits: the inner run is a run of its own."""
        inner = "from toolkit import Run; Run.get_context().log('inner', 1.0)"
        run = submit(
            f"""
            import os
            from toolkit import Experiment, ScriptRunConfig, Workspace
            os.makedirs("job")
            open("job/train.py", "w").write({inner!r})
            config = ScriptRunConfig("job", script="train.py")
            print(Experiment(Workspace.get("test"), "inner").submit(config).id)
            """
        )
        assert run.wait_for_completion(raise_on_error=False)["status"] == "Completed", driver_log(run)
        found = workspace.get_run(driver_log(run).split()[-1])
        assert found.wait_for_completion()["status"] == "Completed"
        assert found.get_metrics() == {"inner": 1.0} and run.get_metrics() == {}

    def test_environment_versions_are_recorded(self, workspace: Workspace, submit: Submit, tmp_path: Path) -> None:
        (tmp_path / "requirements.txt").write_text("iniconfig\n")
        environment = Environment.from_pip_requirements("small", tmp_path / "requirements.txt")
        run = submit("import iniconfig; print('has it')", environment=environment)
        assert run.wait_for_completion()["status"] == "Completed"
        assert run._definition()["environment"]["version"] == "1" and "small" in workspace.environments
        assert run.get_environment().name == "small"
        again = submit("import iniconfig; print('has it')", environment=environment)
        again.wait_for_completion()
        assert "Preparing" not in Path(again.directory.events).read_text(), "same content, zero work"


def test_what_would_be_left_out_in_silence_is_refused() -> None:
    for given in ({"resume_from": "a run"}, {"distributed_job_config": 1}, {"docker_runtime_config": 1}):
        with pytest.raises(UserErrorException, match=f"{next(iter(given))} is .*: it takes a"):
            ScriptRunConfig("src", "train.py", **given)  # type: ignore[arg-type]
    with pytest.raises(UserErrorException, match="it takes a CondaDependencies, as in"):
        RunConfiguration(conda_dependencies=object())
    with pytest.raises(UserErrorException, match="write those of a command into the command itself"):
        ScriptRunConfig("src", command="echo", arguments=["--lr", 1])
