"""The GPU target: the contract on leased GPUs, with NVIDIA's library stood in for, since test machines have no GPU."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Submit, driver_log, needs, wait_until
from tests.contract.target_contract import SLEEP, TargetContract, kill_agent
from tests.rig import nvml
from toolkit import ActivityFailedException, ComputeTargetException, Environment, Run, Workspace, gpus
from toolkit.images import engine as container_engine
from toolkit.inscript.files import read_json
from toolkit.targets import docker_options
from toolkit.targets.base import Plan

TARGETS = """\
compute_targets:
  local: {type: local, slots: 1}
  gpu: {type: local, gpus: 1}
  gpu-pair: {type: local, gpus: 2}
  gpu-many: {type: local, gpus: 8}
  gpu-docker: {type: docker, gpus: 1}
cancel_grace_seconds: 1
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs(not nvml.why_not(), nvml.why_not())
    return nvml.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def two_gpus(library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two GPUs, for this process and for agents that are started from it."""
    ctypes.CDLL(str(library / "libnvidia-ml.so.1"), mode=ctypes.RTLD_GLOBAL)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library))
    monkeypatch.setenv("RIG_GPUS", "2")
    yield
    monkeypatch.undo()
    os.environ["RIG_GPUS"] = "0"  # a library once loaded stays; from here on it has no GPUs


@pytest.mark.usefixtures("two_gpus")
class TestGpu(TargetContract):
    target = "gpu"

    @pytest.fixture(autouse=True)
    def _one_gpu(self, two_gpus: None, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        """With one GPU, what the contract says of one slot holds of it."""
        workspace.paths.configuration.write_text(TARGETS)
        monkeypatch.setenv("RIG_GPUS", "1")


@pytest.mark.usefixtures("two_gpus")
class TestLeases:
    """Each test has an agent of its own, which sees two GPUs."""

    @pytest.fixture(autouse=True)
    def _targets(self, workspace: Workspace) -> None:
        workspace.paths.configuration.write_text(TARGETS)
        self.workspace = workspace

    def started(self, run: Run) -> str:
        """What the script of a run said first."""
        wait_until(lambda: os.path.exists(run.directory.driver_log) and driver_log(run).endswith("\n"))
        return driver_log(run).strip()

    def test_each_run_sees_its_own_gpu_however_the_one_before_ended(self, submit: Submit) -> None:
        script = "import os, time\nprint(os.environ['CUDA_VISIBLE_DEVICES'], flush=True)\ntime.sleep(600)"
        runs = [submit(script, compute_target="gpu") for _ in range(4)]
        assert [self.started(run) for run in runs[:2]] == ["0", "1"]
        wait_until(lambda: runs[2].get_status() == "Queued")
        os.kill(read_json(runs[1].directory.script)["pid"], 9)
        assert self.started(runs[2]) == "1"
        assert runs[3].get_status() == "Queued"
        kill_agent(self.workspace)
        os.kill(read_json(runs[0].directory.started)["pid"], 9)
        assert runs[2].get_status() == "Running", "a command brings an agent back, and it knows who has what"
        assert self.started(runs[3]) == "0"

    def test_runs_on_the_cpu_do_not_wait_for_gpus(self, submit: Submit) -> None:
        holders = [submit(SLEEP, compute_target="gpu") for _ in range(2)]
        for run in holders:
            self.started(run)
        assert submit("print(1)").wait_for_completion()["status"] == "Completed"

    def test_a_run_may_have_two(self, submit: Submit) -> None:
        run = submit("import os; print(os.environ['CUDA_VISIBLE_DEVICES'])", compute_target="gpu-pair")
        assert self.started(run) == "0,1"

    def test_more_than_there_are_is_refused(self, submit: Submit) -> None:
        with pytest.raises(
            ComputeTargetException, match="gives each run 8 GPUs and this machine has 2; lower its `gpus`"
        ):
            submit("print(1)", compute_target="gpu-many")

    def test_only_those_that_are_visible_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert [gpu.index for gpu in gpus.find()] == ["0", "1"]
        assert gpus.find()[0].name == nvml.GPU_NAME and gpus.find()[0].memory == nvml.GPU_BYTES
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        assert [gpu.uuid for gpu in gpus.find()] == [nvml.uuid(1)]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nvml.uuid(0))
        assert [gpu.index for gpu in gpus.find()] == ["0"]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        assert gpus.find() == []

    def test_a_container_is_given_the_gpu_by_its_uuid(
        self, submit: Submit, engine: str, python_base_image: str
    ) -> None:
        runtimes = container_engine.connect(engine).info()["Runtimes"]
        needs("nvidia" not in runtimes, "an engine without NVIDIA's runtime: its refusal is what is looked at")
        environment = Environment.from_docker_image("base", python_base_image)
        for _ in range(3):  # a GPU whose run could not be started is free again
            run = submit("print(1)", compute_target="gpu-docker", environment=environment)
            with pytest.raises(ActivityFailedException, match="NVIDIA Container Toolkit"):
                run.wait_for_completion()
            plan = Plan.load(run.directory)
            assert plan is not None and plan.container["gpus"] == [nvml.uuid(0)]
            request = docker_options.as_docker_takes(plan.container)["device_requests"][0]
            assert request["DeviceIDs"] == [nvml.uuid(0)] and request["Capabilities"] == [["gpu"]]


def test_a_machine_without_gpus_says_what_to_use(submit: Submit, workspace: Workspace) -> None:
    needs(not os.path.exists("/dev/nvidiactl"), "a machine without a GPU")
    with pytest.raises(ComputeTargetException) as caught:
        submit("print(1)", compute_target="gpu")
    assert "needs a GPU and this machine has none" in str(caught.value)
    assert 'compute_target="local"' in str(caught.value)
    assert not workspace.paths.runs.exists() or not os.listdir(workspace.paths.runs), "nothing was written"
