"""The Docker target on engines of other kinds and ages, and with one that goes away while runs go on."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import docker
import psutil
import pytest

from tests.conftest import Submit, driver_log, needs, wait_until
from tests.rig import base_image, engines
from toolkit import ActivityFailedException, Environment, Run, Workspace
from toolkit.images import engine as container_engine

HERE = "import time\nprint('here', flush=True)\ntime.sleep(600)"


@pytest.fixture(scope="module", params=engines.KINDS)
def other_engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an engine of each other kind, with a base image that has Python."""
    needs(not engines.why_not(request.param), engines.why_not(request.param))
    with engines.start(request.param) as address:
        base_image.ensure(address, base_image.PYTHON)
        yield address


class Runs:
    @pytest.fixture(autouse=True)
    def _target(self, submit: Submit, workspace: Workspace, other_engine: str) -> None:
        self.address = other_engine
        self._submit = submit
        workspace.paths.configuration.write_text(
            f"compute_targets:\n  box: {{type: docker, slots: 1, network: none, engine: '{other_engine}'}}\n"
            "cancel_grace_seconds: 1\n"
        )

    def submit(self, script: str) -> Run:
        environment = Environment.from_docker_image("base", base_image.PYTHON.reference)
        return self._submit(script, compute_target="box", environment=environment)

    def started(self, script: str = HERE) -> Run:
        run = self.submit(script)
        wait_until(lambda: Path(run.directory.driver_log).exists() and "here" in driver_log(run))
        return run

    def containers(self) -> list[str]:
        with closing(docker.DockerClient(base_url=self.address, version="auto")) as client:
            return [one["State"] for one in client.api.containers(all=True)]


class TestKinds(Runs):
    def test_a_run_from_end_to_end(self) -> None:
        run = self.submit(
            """
            from toolkit import Run
            Run.get_context().log("loss", 0.5)
            open("outputs/model.bin", "wb").write(b"weights")
            print("done")
            """
        )
        assert run.wait_for_completion()["status"] == "Completed"
        assert driver_log(run) == "done\n" and run.get_metrics() == {"loss": 0.5}
        assert "outputs/model.bin" in run.get_file_names()
        wait_until(lambda: not self.containers())

    def test_cancel(self) -> None:
        run = self.started()
        run.cancel()
        assert run.wait_for_completion()["status"] == "Canceled"
        wait_until(lambda: not self.containers())


@pytest.mark.parametrize("other_engine", ["docker-current"], indirect=True)
class TestRestart(Runs):
    @contextmanager
    def restart(self, seconds_away: float) -> Iterator[None]:
        """End the engine by force and start it again as it was; it ends with the block."""
        (engine,) = [one for one in psutil.process_iter(["name"]) if one.info["name"] == "dockerd" and self._ours(one)]
        command, environment, folder = engine.cmdline(), engine.environ(), engine.cwd()
        engine.kill()
        engine.wait()
        time.sleep(seconds_away)
        with open(f"{folder}/log.txt", "ab") as log:
            again = subprocess.Popen(
                ["unshare", "--net", *command], env=environment, cwd=folder, stdout=log, stderr=log
            )
        wait_until(self._answers)
        yield
        again.terminate()
        again.wait()

    def _ours(self, process: psutil.Process) -> bool:
        return self.address in process.cmdline()

    def _answers(self) -> bool:
        try:
            container_engine.ping(self.address)
        except container_engine.ContainerEngineError:
            return False
        return True

    def test_the_engine_is_restarted_while_a_run_goes_on(self) -> None:
        run = self.started()
        waiting = self.submit("print('second')")
        with self.restart(seconds_away=3):
            with pytest.raises(ActivityFailedException, match=r"engine\b.* was restarted.*Submit"):
                run.wait_for_completion()
            assert run.get_details()["error"]["error"]["code"] in ("ContainerEnded", "Stopped")
            assert waiting.wait_for_completion()["status"] == "Completed"
            wait_until(lambda: not self.containers())
