"""The Ray target on a real cluster: the contract, and what is its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.conftest import Submit, driver_log, wait_until
from tests.contract.target_contract import TargetContract
from tests.rig import ray_cluster
from tests.rig.ray_cluster import RayCluster
from toolkit import ComputeTargetException, Environment, PyTorchConfiguration, Workspace
from toolkit.errors import EngineUnreachable
from toolkit.inscript.files import write_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.targets import registry
from toolkit.targets.base import Handle, Phase, Plan
from toolkit.targets.engine_state import NODE_LOST, EngineState
from toolkit.targets.mount import inscript_folder
from toolkit.targets.ray import job, packages
from toolkit.targets.ray.client import RayClient, RayError
from toolkit.targets.registry import create


def targets(ray: RayCluster, folder: Path) -> str:
    common = f"type: ray, address: '{ray.address}', python: '{sys.executable}', folder: '{folder}'"
    return f"""\
compute_targets:
  local: {{type: local, slots: 1}}
  ray: {{{common}, max_concurrent_runs: 1}}
  wide: {{{common}, cpus: 0.5}}
  huge: {{{common}, resources: {{unobtainium: 1}}}}
  broken: {{type: ray, address: '{ray.address}', python: /no/no-such-python}}
cancel_grace_seconds: 1
"""


@pytest.fixture(autouse=True)
def _targets(workspace: Workspace, ray: RayCluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    workspace.paths.configuration.write_text(targets(ray, ray.folder / "runs"))


class TestRay(TargetContract):
    target = "ray"
    many = 12  # each is a process of Ray's own, which takes a second or two

    @pytest.fixture(autouse=True)
    def _cluster(self, ray: RayCluster) -> None:
        self.client = RayClient(ray.address)
        self.folder = ray.folder / "runs"

    def jobs(self) -> list[str]:
        """The statuses of the jobs of this workspace that the cluster knows."""
        root = str(self.workspace.paths.root)
        return [
            str(job["status"])
            for job in self.client.jobs().values()
            if (job.get("metadata") or {}).get("toolkit_workspace") == root
        ]

    def test_nothing_stays_on_the_cluster(self) -> None:
        run = self.submit("print(1)")
        run.wait_for_completion()
        wait_until(lambda: not self.jobs())
        assert not (self.folder / run.id).exists()

    def test_a_second_submit_sends_no_sources_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.submit("print(1)").wait_for_completion()
        sent: list[str] = []
        monkeypatch.setattr(RayClient, "put_package", lambda _, name, content: sent.append(name))
        run = self.submit("print(1)")
        run.wait_for_completion()
        plan = Plan.load(run.directory)
        assert plan is not None and plan.snapshot is not None
        packages.of_folder(inscript_folder()).send(self.client)
        packages.of_snapshot(str(self.workspace.paths.snapshots), plan.snapshot["id"]).send(self.client)
        assert sent == []

    def test_a_job_that_the_cluster_has_already_is_given_once(self) -> None:
        """As an agent does that was ended before it had noted that the cluster took the job."""
        job = {"entrypoint": "echo once", "submission_id": f"twice-{os.urandom(4).hex()}"}
        self.client.submit(job)
        self.client.submit(job)
        with pytest.raises(RayError, match=r"refused: .*entrypoint.* \(HTTP 400\)"):
            self.client.submit({"submission_id": "none"})

    def test_a_script_sees_the_cluster(self) -> None:
        run = self.submit(
            """
            import json, os
            print("RAY_ADDRESS" in os.environ, "RAY_JOB_STOP_WAIT_TIME_S" in os.environ)
            print("MLFLOW_TRACKING_URI" in os.environ, json.loads(os.environ["RAY_JOB_CONFIG_JSON_ENV_VAR"]).keys())
            """
        )
        run.wait_for_completion()
        assert driver_log(run) == "True False\nFalse dict_keys(['metadata'])\n"

    def test_a_request_of_a_script_fails_at_once(self) -> None:
        run = self.submit(
            """
            from toolkit import Run
            open("outputs/model", "w").write("weights")
            Run.get_context().register_model("digits", "outputs/model")
            """
        )
        assert "cannot be asked for by a script on a Ray cluster" in self.error(run)["message"]

    def test_a_job_that_is_stopped_in_ray(self) -> None:
        run = self.running()
        self.client.stop(job.submission_id(run.directory))
        assert self.error(run)["code"] in ("Stopped", "Signal")

    def test_a_python_that_is_not_there(self) -> None:
        error = self.error(self._submit("print(1)", compute_target="broken"))
        assert "no-such-python" in error["message"]

    def test_a_run_that_no_node_can_take_waits_and_can_be_cancelled(self) -> None:
        run = self._submit("print(1)", compute_target="huge")
        waits = "PENDING (waits for 1 CPUs, 1 unobtainium)"
        wait_until(lambda: str(EngineState.of(run.directory)).endswith(waits))
        assert run.get_status() == "Queued"
        run.cancel()
        assert run.wait_for_completion()["status"] == "Canceled"

    def test_packages_of_a_lock_are_installed_by_ray(self) -> None:
        environment = Environment.from_pip_requirements("tiny", str(self._requirements()))
        run = self.submit("import tqdm, sys; print(tqdm.__version__, sys.prefix)", environment=environment)
        assert run.wait_for_completion()["status"] == "Completed"
        assert driver_log(run).startswith("4.66.5 ") and "runtime_resources" in driver_log(run)

    def _requirements(self) -> Path:
        path = Path(self.workspace.paths.root) / "requirements.txt"
        path.write_text("tqdm==4.66.5\n")
        return path

    def test_half_of_a_cpu_and_many_at_once(self) -> None:
        runs = [self._submit("import time; time.sleep(1)", compute_target="wide") for _ in range(4)]
        for run in runs:
            assert run.wait_for_completion()["status"] == "Completed"


def test_more_nodes_are_refused(submit: Submit, workspace: Workspace) -> None:
    with pytest.raises(ComputeTargetException, match="cannot start a run on 2 nodes"):
        submit(
            "print(1)", compute_target="ray", distributed_job_config=PyTorchConfiguration(process_count=2, node_count=2)
        )
    assert not workspace.paths.runs.exists() or not os.listdir(workspace.paths.runs), "nothing was written"


def test_no_cluster_answers() -> None:
    with pytest.raises(EngineUnreachable, match=r"no Ray cluster answers at http://127\.0\.0\.1:9"):
        RayClient("http://127.0.0.1:9").version()


def test_a_run_that_the_cluster_does_not_know_any_more_is_lost(workspace: Workspace) -> None:
    run = RunDirectory(str(workspace.paths.runs / "gone_1"))
    os.makedirs(run.logs)
    target = create("ray", workspace.configuration, workspace.paths)
    settings = workspace.configuration.compute_targets["ray"]
    write_json(run.plan, {"request": {"address": settings["address"], "token_file": ""}})
    handle = Handle(run.root, "gone_1")
    wait_until(lambda: target.poll([handle])[handle] is Phase.LOST)
    state = EngineState.of(run)
    assert state is not None and state.cause == NODE_LOST and "was it restarted?" in state.message


def test_a_run_waits_longer_than_ray_does(submit: Submit, workspace: Workspace) -> None:
    """Ray gives up a job that did not start within 15 minutes; here within 2 seconds."""
    with ray_cluster.serve(cpus=1, RAY_JOB_START_TIMEOUT_SECONDS="2") as impatient:
        workspace.paths.configuration.write_text(targets(impatient, impatient.folder / "runs"))
        run = submit("print(1)", compute_target="huge")
        wait_until(lambda: (EngineState.of(run.directory) or EngineState("")).id.endswith("-1.3"))
        assert run.get_status() == "Queued"
        run.cancel()
        assert run.wait_for_completion()["status"] == "Canceled"


def test_the_doctor_sees_the_cluster(workspace: Workspace) -> None:
    assert registry.examine("ray", workspace.configuration.compute_targets["ray"]).startswith("Ray 2.")
    with pytest.raises(EngineUnreachable, match=r"127\.0\.0\.1:1"):
        registry.examine("ray", {"type": "ray", "address": "http://127.0.0.1:1"})
