"""The Docker target on the real engine: the contract, and what is its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient

from tests.conftest import Submit, driver_log, needs, wait_until
from tests.contract.target_contract import TargetContract, kill_agent
from toolkit import ActivityFailedException, ContainerEngineError, Environment, Run, Workspace
from toolkit.configuration import TEMPLATE
from toolkit.images import engine as container_engine
from toolkit.targets.base import Plan
from toolkit.targets.docker import WORKSPACE_LABEL, container_name
from toolkit.targets.registry import create

TARGETS = """\
compute_targets:
  local: {type: local, slots: 1}
  docker: {type: docker, slots: 1}
  offline: {type: docker, shares: docker, network: none}
  small: {type: docker, shares: docker, memory: 64m}
  gpus: {type: docker, shares: docker}
cancel_grace_seconds: 1
"""


@pytest.fixture(autouse=True)
def _targets(workspace: Workspace) -> None:
    workspace.paths.configuration.write_text(TARGETS)


@pytest.fixture
def client(engine: str) -> DockerClient:
    return container_engine.connect(engine)


@pytest.fixture
def containers(client: DockerClient, workspace: Workspace) -> Callable[[], list[str]]:
    """The states of the containers of the workspace."""
    ours: dict[str, Any] = {"label": f"{WORKSPACE_LABEL}={workspace.paths.root}"}
    return lambda: [one.status for one in client.containers.list(all=True, filters=ours, ignore_removed=True)]


class InContainers:
    """The scripts of these tests run in a base image that has Debian's own Python."""

    base = ""

    @pytest.fixture(autouse=True)
    def _base(self, python_base_image: str) -> None:
        self.base = python_base_image

    def options(self) -> dict[str, object]:
        return {"compute_target": "docker", "environment": Environment.from_docker_image("base", self.base)}

    @contextmanager
    def little_memory(self) -> Iterator[dict[str, object]]:
        yield {"compute_target": "small"}


class TestDocker(InContainers, TargetContract):
    target = "docker"

    @pytest.fixture(autouse=True)
    def _nothing_is_left(self, containers: Callable[[], list[str]]) -> object:
        yield
        wait_until(lambda: not self.runs_go_on())
        wait_until(lambda: not containers())

    def runs_go_on(self) -> bool:
        for run_id in os.listdir(self.workspace.paths.active):
            self.workspace.get_run(run_id).cancel()
        return bool(os.listdir(self.workspace.paths.active))

    @pytest.fixture(autouse=True)
    def _client(self, client: DockerClient) -> None:
        self.client = client

    def lives(self, run: Run, pid: int) -> bool:
        """A container ends with all that is in it, a moment after the launcher."""
        named: dict[str, Any] = {"name": container_name(run.directory)}
        wait_until(lambda: not self.client.containers.list(filters=named, ignore_removed=True), 10)
        return False

    def lose(self, run: Run) -> None:
        self.container(run).remove(force=True)

    def container(self, run: Run) -> Any:
        return self.client.containers.get(container_name(run.directory))

    def test_what_the_script_sees(self) -> None:
        run = self.submit(
            """
            import getpass, os
            print(os.getuid(), os.getpid() < 100, os.path.exists("/.dockerenv"), getpass.getuser())
            print(os.getcwd() == os.path.dirname(os.environ["AZUREML_OUTPUT_DIRECTORY"]), os.environ["GREETING"])
            open("outputs/mine.txt", "w").write("x")
            print(os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize)
            """,
            environment=self.with_variables(GREETING="hello"),
        )
        run.wait_for_completion()
        user, place, shm = driver_log(run).splitlines()
        assert user.startswith(f"{os.getuid()} True True ") and place == "True hello"
        assert int(shm) == 2 << 30, "DataLoader workers share batches through it"
        assert (Path(run.directory.outputs) / "mine.txt").stat().st_uid == os.getuid()

    def with_variables(self, **variables: str) -> Environment:
        environment = Environment.from_docker_image("base", self.base)
        environment.environment_variables = variables
        return environment

    def test_the_submitters_variables_stay_outside(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_TOKEN", "s3cret")
        run = self.submit("import os; print(os.environ.get('MY_TOKEN'))")
        run.wait_for_completion()
        assert driver_log(run).strip() == "None"
        assert not os.path.exists(run.directory.environ)

    def test_snapshots_and_the_in_script_side_cannot_be_written(self) -> None:
        run = self.submit(
            """
            import os, sys
            for folder in (os.environ["PYTHONPATH"].split(":")[0], sys.argv[1]):
                try:
                    open(folder + "/x", "w")
                except OSError as error:
                    print(error.strerror)
            """,
            arguments=[str(self.workspace.paths.snapshots)],
        )
        run.wait_for_completion()
        assert driver_log(run).splitlines() == ["Read-only file system"] * 2

    def test_no_network_where_the_target_says_so(self) -> None:
        script = "import os; print(sorted(os.listdir('/sys/class/net')))"
        run = self.submit(script, compute_target="offline")
        run.wait_for_completion()
        assert driver_log(run).strip() == "['lo']"
        arguments = Environment.from_docker_image("base", self.base)
        arguments.docker.arguments = ["--network", "none"]
        run = self.submit(script, environment=arguments)
        run.wait_for_completion()
        assert driver_log(run).strip() == "['lo']"

    def test_docker_enabled_makes_a_local_run_a_container(self) -> None:
        environment = Environment.from_docker_image("base", self.base)
        environment.docker.enabled = True
        run = self.submit(
            "import os; print(os.path.exists('/.dockerenv'))", compute_target="local", environment=environment
        )
        run.wait_for_completion()
        assert driver_log(run).strip() == "True"

    def test_more_folders_are_mounted(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "here.txt").write_text("images")
        environment = Environment.from_docker_image("base", self.base)
        environment.docker.arguments = [f"-v {tmp_path}/data:/mnt/data:ro"]
        run = self.submit("print(open('/mnt/data/here.txt').read())", environment=environment)
        run.wait_for_completion()
        assert driver_log(run).strip() == "images"

    def test_a_folder_that_is_not_there_is_named(self) -> None:
        environment = Environment.from_docker_image("base", self.base)
        environment.docker.arguments = ["-v", "/no/such/folder:/data"]
        error = self.error(self.submit("print(1)", environment=environment))
        assert "/no/such/folder" in error["message"]

    def test_a_gpu_that_the_engine_cannot_give(self) -> None:
        needs("nvidia" not in self.client.info()["Runtimes"], "an engine that cannot give GPUs")
        environment = Environment.from_docker_image("base", self.base)
        environment.docker.arguments = ["--gpus", "all"]
        error = self.error(self.submit("print(1)", environment=environment))
        assert error["code"] == "LaunchError" and "NVIDIA Container Toolkit" in error["message"]

    def test_the_container_is_killed(self) -> None:
        run = self.running()
        self.container(run).kill()
        error = self.error(run)
        assert error["code"] == "ContainerEnded" and "docker kill" in error["message"]

    def test_the_container_is_stopped(self) -> None:
        run = self.running()
        self.container(run).stop()
        assert self.error(run)["code"] == "Stopped"

    def test_the_container_is_removed(self) -> None:
        run = self.running()
        self.container(run).remove(force=True)
        assert self.error(run)["code"] in ("LauncherLost", "ContainerEnded")

    def test_a_paused_container_can_be_cancelled(self) -> None:
        run = self.running()
        self.container(run).pause()
        run.cancel()
        assert run.wait_for_completion()["status"] == "Canceled"

    def test_a_container_that_ended_without_an_agent_is_removed_by_the_next(
        self, containers: Callable[[], list[str]]
    ) -> None:
        run = self.running("import time; print('here', flush=True); time.sleep(0.5); print('done')")
        kill_agent(self.workspace)
        wait_until(lambda: containers() == ["exited"])
        assert run.wait_for_completion()["status"] == "Completed"
        assert driver_log(run) == "here\ndone\n"

    def test_launching_twice_starts_the_script_once(self) -> None:
        run = self.running("print('here', flush=True); import time; time.sleep(1)")
        target = create("docker", self.workspace.configuration, self.workspace.paths)
        plan = Plan.load(run.directory)
        assert plan is not None
        target.launch(plan)  # as an agent does that was ended before it knew that the container is there
        run.wait_for_completion()
        assert driver_log(run) == "here\n"

    def test_the_plan_shows_the_container(self) -> None:
        run = self.submit("print(1)")
        run.wait_for_completion()
        plan = Plan.load(run.directory)
        assert plan is not None
        assert (
            plan.container["image"].startswith("sha256:") and plan.container["user"] == f"{os.getuid()}:{os.getgid()}"
        )
        assert all(mount["source"] == mount["target"] for mount in plan.container["mounts"])


class TestBadInput(InContainers):
    def test_no_engine_answers(self, submit: Submit, workspace: Workspace) -> None:
        text = TARGETS.replace("docker: {type: docker,", 'docker: {type: docker, engine: "unix:///no/engine.sock",')
        workspace.paths.configuration.write_text(text)
        with pytest.raises(ContainerEngineError, match=r"no container engine answers at unix:///no/engine\.sock"):
            submit("print(1)", **self.options())
        assert not workspace.paths.runs.exists() or not os.listdir(workspace.paths.runs), "nothing was written"

    def test_the_engine_is_the_one_of_the_submit_whatever_the_agent_was_started_with(
        self, submit: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DOCKER_HOST", "unix:///no/engine.sock")
        assert submit("print(1)").wait_for_completion()["status"] == "Completed"
        monkeypatch.delenv("DOCKER_HOST")
        run = submit("print(1)", **self.options())
        assert run.wait_for_completion()["status"] == "Completed"
        assert run.get_environment().docker.base_image == self.base, "such an environment is registered too"

    def test_an_argument_that_is_not_offered(self, submit: Submit) -> None:
        environment = Environment.from_docker_image("base", self.base)
        environment.docker.arguments = ["--pid=host"]
        with pytest.raises(Exception, match=r"unrecognized arguments: --pid=host\. Offered are: .*--gpus"):
            submit("print(1)", **{**self.options(), "environment": environment})

    def test_an_image_without_a_python(self, submit: Submit, base_image: str) -> None:
        run = submit("print(1)", compute_target="docker", environment=Environment.from_docker_image("slim", base_image))
        with pytest.raises(ActivityFailedException, match="has no Python"):
            run.wait_for_completion()


def test_the_template_offers_a_docker_target() -> None:
    assert "docker: {type: docker, shares: local}" in TEMPLATE
