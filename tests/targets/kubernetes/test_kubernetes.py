"""The Kubernetes target on a stand-in for a cluster: the contract, and what is its own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Submit, driver_log, wait_until
from tests.contract.target_contract import TargetContract, kill_agent
from tests.rig.kubernetes_api import Cluster
from tests.targets.kubernetes.conftest import InPods, nothing_is_left
from toolkit import ActivityFailedException, Environment, MpiConfiguration, Run
from toolkit.targets.base import Handle, NotYet, Plan
from toolkit.targets.engine_state import EngineState
from toolkit.targets.kubernetes.cluster import job_name_of
from toolkit.targets.registry import create


class TestKubernetes(InPods, TargetContract):
    target = "cluster"

    @pytest.fixture(autouse=True)
    def _nothing_is_left(self, cluster: Cluster) -> object:
        yield
        nothing_is_left(cluster)

    def lives(self, run: Run, pid: int) -> bool:
        """A pod ends with all that is in it, a moment after its launcher."""
        name = job_name_of(run.directory)
        wait_until(lambda: not [one for one in self.cluster.kubelet.running() if one.name.startswith(name)], 20)
        return False

    def lose(self, run: Run) -> None:
        pod = self.pod(run)
        target = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
        self.cluster.kubelet.ends_as[pod["metadata"]["name"]] = {"conditions": [target]}
        self.cluster.kubelet.kill(pod)

    @contextmanager
    def little_memory(self) -> Iterator[dict[str, object]]:
        yield {"compute_target": "small"}

    def pod(self, run: Run, index: int = 0) -> Any:
        return self.cluster.pod_of(job_name_of(run.directory), index)

    # -- what a script sees -------------------------------------------------------------------------------------------

    def test_what_the_script_sees(self) -> None:
        run = self.submit(
            """
            import getpass, os
            print(os.getuid(), getpass.getuser(), os.path.exists("/.dockerenv"), "MLFLOW_TRACKING_URI" in os.environ)
            print(os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize == 64 << 20)
            """
        )
        run.wait_for_completion()
        assert driver_log(run).splitlines() == ["1000 toolkit True False", "True"]

    def test_secrets_are_in_no_manifest(self) -> None:
        environment = Environment.from_docker_image("base", self.base)
        environment.environment_variables = {"MY_TOKEN": "s3cret-value"}
        run = self.running(
            "import os, time; print('here', os.environ['MY_TOKEN']); time.sleep(600)", environment=environment
        )
        for (resource, _), item in [*self.cluster.store.objects.items()]:
            assert resource == "secrets" or "s3cret-value" not in json.dumps(item)
        run.cancel()
        run.wait_for_completion()

    def test_a_workspace_cannot_be_asked_from_there(self) -> None:
        run = self.submit(
            """
            from toolkit import Run
            open("outputs/x", "w").close()
            Run.get_context().register_model("m", "outputs/x")
            """
        )
        error = self.error(run)
        assert "a script on a Kubernetes cluster" in error["message"]

    def test_sources_in_several_parts_are_shared_by_runs(self, tmp_path: Path) -> None:
        (tmp_path / "source").mkdir()
        (tmp_path / "source" / "weights.bin").write_bytes(os.urandom(2_500_000))
        script = "import os; print('here', os.path.getsize('weights.bin'), flush=True); import time; time.sleep(2)"
        runs = [self.submit(script, compute_target="wide") for _ in range(2)]
        wait_until(lambda: all(os.path.exists(run.directory.script) for run in runs))
        names = [name for (kind, name) in self.cluster.store.objects if kind == "secrets"]
        assert sum(name.startswith("toolkit-sources-") for name in names) == 3
        assert sum(name.startswith("toolkit-code-") for name in names) == 1
        for run in runs:
            assert run.wait_for_completion()["status"] == "Completed"
            assert driver_log(run) == "here 2500000\n"

    def test_sources_that_are_too_large_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "source").mkdir()
        (tmp_path / "source" / "data.bin").write_bytes(os.urandom(9_000_000))
        error = self.error(self.submit("print(1)"))
        assert error["code"] == "LaunchError" and ".amlignore" in error["message"] and "volumes" in error["message"]

    # -- waiting ------------------------------------------------------------------------------------------------------

    def test_a_run_waits_for_its_queue(self) -> None:
        self.cluster.queue_admits = False
        run = self.submit("print(1)", compute_target="queued")
        wait_until(lambda: state(run) == "Suspended")
        assert run.get_status() == "Queued"
        self.cluster.admit()
        assert run.wait_for_completion()["status"] == "Completed"

    def test_a_run_that_waits_for_room_can_be_cancelled(self) -> None:
        self.cluster.kubelet.holds_pods = True
        run = self.submit("print('never')")
        wait_until(lambda: state(run) == "Pending")
        wait_until(lambda: "Insufficient nvidia.com/gpu" in EngineState.of(run.directory).message)
        assert run.get_status() == "Queued"
        run.cancel()
        assert run.wait_for_completion()["status"] == "Canceled"
        assert not os.path.exists(run.directory.driver_log)

    def test_an_image_that_cannot_be_pulled_is_named_while_it_waits(self) -> None:
        self.cluster.kubelet.cannot_pull = "Back-off pulling image"
        run = self.submit("print(1)")
        wait_until(lambda: EngineState.of(run.directory) and EngineState.of(run.directory).reason == "ImagePullBackOff")
        self.cluster.kubelet.cannot_pull = ""
        assert run.wait_for_completion()["status"] == "Completed"

    # -- ended from outside -------------------------------------------------------------------------------------------

    def test_the_limit_of_a_pod_is_named(self) -> None:
        script = "data = [bytearray(b'x' * (1 << 20)) for _ in range(512)]"
        assert "0.0625 GiB" in self.error(self.submit(script, compute_target="small"))["message"]

    def test_the_pod_is_killed(self) -> None:
        run = self.running()
        self.cluster.kubelet.kill(self.pod(run))
        assert self.error(run)["code"] == "ContainerEnded"

    def test_the_job_is_deleted_by_hand(self) -> None:
        run = self.running()
        self.cluster.delete("jobs", job_name_of(run.directory))
        assert self.error(run)["code"] == "Stopped"

    def test_a_pod_that_was_evicted_is_run_again_from_its_checkpoint(self) -> None:
        script = """
            import os, time
            place = os.path.join(os.environ["TOOLKIT_CHECKPOINTS"], "at")
            if os.path.exists(place):
                print("goes on at", open(place).read(), os.environ["TOOLKIT_ATTEMPT"])
                raise SystemExit
            open(place, "w").write("7")
            print("here", flush=True)
            time.sleep(600)
            """
        run = self.running(script, compute_target="again")
        name = self.pod(run)["metadata"]["name"]
        words = "The node was low on resource: memory."
        self.cluster.kubelet.ends_as[name] = {"reason": "Evicted", "message": words}
        self.cluster.kubelet.kill(self.pod(run))
        assert run.wait_for_completion()["status"] == "Completed"
        assert driver_log(run) == "here\ngoes on at 7 2\n"
        (noted,) = Path(run.directory.attempts).glob("1/engine.json")
        assert words in json.loads(noted.read_text())["message"]

    def test_a_pod_that_was_evicted_says_so(self) -> None:
        run = self.running()
        self.cluster.kubelet.ends_as[self.pod(run)["metadata"]["name"]] = {
            "reason": "Evicted",
            "message": "low on disk",
        }
        self.cluster.kubelet.kill(self.pod(run))
        assert "low on disk" in self.error(run)["message"]

    # -- a cluster that is away ---------------------------------------------------------------------------------------

    def test_the_cluster_does_not_answer_for_a_while(self) -> None:
        run = self.running("import time; print('here', flush=True); time.sleep(3); print('done')")
        self.cluster.away = True
        time.sleep(4)
        self.cluster.away = False
        assert run.wait_for_completion()["status"] == "Completed"
        assert driver_log(run) == "here\ndone\n"

    def test_the_history_that_is_watched_is_forgotten(self) -> None:
        run = self.running("import time; print('here', flush=True); time.sleep(2)")
        self.cluster.forget_history()
        assert run.wait_for_completion()["status"] == "Completed"

    def test_nobody_asks_for_runs_one_by_one(self) -> None:
        run = self.running("import time; print('here', flush=True); time.sleep(4)")
        before = len(self.cluster.requests)
        time.sleep(3)
        assert len(self.cluster.requests) - before <= 1, self.cluster.requests[before:]
        run.wait_for_completion()

    @pytest.mark.parametrize("what", ["jobs", "secrets"])
    def test_rights_that_lack_are_named(self, what: str) -> None:
        self.cluster.forbidden.add(("create", what))
        error = self.error(self.submit("print(1)"))
        assert error["code"] == "LaunchError"
        assert f'cannot create resource "{what}"' in error["message"] and "docs/kubernetes.md" in error["message"]

    def test_somebody_whom_the_cluster_does_not_know(self) -> None:
        self.cluster.kubeconfig(self.workspace.paths.root / "wrong", token="of-yesterday")
        path = self.workspace.paths.configuration
        path.write_text(path.read_text().replace("/kubeconfig, queue", "/wrong, queue"))
        error = self.error(self.submit("print(1)", compute_target="queued"))
        assert error["code"] == "LaunchError" and "does not know you (401)" in error["message"]

    # -- agents that are ended ----------------------------------------------------------------------------------------

    def test_launching_twice_starts_the_script_once(self) -> None:
        run = self.running("print('here', flush=True); import time; time.sleep(4)")
        plan = Plan.load(run.directory)
        assert plan is not None
        target = create(self.target, self.workspace.configuration, self.workspace.paths)
        handles: list[Handle] = []

        def launched() -> bool:
            try:
                handles.append(target.launch(plan))
            except NotYet:
                return False
            return True

        wait_until(launched)
        assert handles[0].engine_id == job_name_of(run.directory)
        run.wait_for_completion()
        assert driver_log(run) == "here\n"

    def test_what_an_ended_agent_left_is_deleted_by_the_next(self) -> None:
        run = self.running("import time; print('here', flush=True); time.sleep(0.5); print('done')")
        kill_agent(self.workspace)
        wait_until(lambda: self.pod(run)["status"]["phase"] == "Succeeded")
        assert run.wait_for_completion()["status"] == "Completed"
        assert driver_log(run) == "here\ndone\n"


def state(run: Run) -> str:
    """What the cluster said last of a run."""
    noted = EngineState.of(run.directory)
    return noted.state if noted else ""


class TestNodes(InPods):
    """Runs of several pods."""

    target = "wide"

    @pytest.fixture(autouse=True)
    def _nothing_is_left(self, cluster: Cluster) -> object:
        yield
        nothing_is_left(cluster)

    def submit_to(self, submit: Submit, script: str, **options: object) -> Run:
        configuration = MpiConfiguration(process_count_per_node=2, node_count=2)
        return submit(script, distributed_job_config=configuration, **{**self.options(), **options})

    def test_nodes_know_and_reach_each_other(self, submit: Submit) -> None:
        run = self.submit_to(
            submit,
            """
            import os, socket
            from toolkit import Run
            rank, size = (int(os.environ["OMPI_COMM_WORLD_" + name]) for name in ("RANK", "SIZE"))
            address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
            if rank == 0:
                server = socket.create_server(("", address[1]))
                peers = [server.accept()[0] for _ in range(size - 1)]
                print("came", sorted(int(peer.recv(9)) for peer in peers), "of", size)
                open("outputs/model.bin", "w").write("first")
            else:
                for _ in range(300):
                    try:
                        peer = socket.create_connection(address)
                        break
                    except OSError:
                        __import__("time").sleep(0.1)
                peer.sendall(str(rank).encode())
                print("went", rank)
            Run.get_context().log("rank-%d" % rank, rank)
            """,
        )
        assert run.wait_for_completion()["status"] == "Completed"
        assert "came [1, 2, 3] of 4" in driver_log(run)
        assert run.get_metrics() == {f"rank-{rank}": rank for rank in range(4)}
        logs = {Path(name).name for name in run.get_file_names() if name.startswith("azureml-logs/70")}
        assert {"70_driver_log.txt", "70_driver_log_2.txt", "70_driver_log_3.txt"} <= logs
        assert "went 3" in (Path(run.directory.logs) / "70_driver_log_3.txt").read_text()
        assert "outputs/model.bin" in run.get_file_names()

    def test_a_node_that_fails_fails_the_run(self, submit: Submit) -> None:
        run = self.submit_to(
            submit,
            """
            import os, time
            if os.environ["OMPI_COMM_WORLD_RANK"] == "3":
                raise SystemExit(42)
            time.sleep(600)
            """,
        )
        with pytest.raises(ActivityFailedException, match="exited with code 42"):
            run.wait_for_completion()

    def test_both_nodes_end_with_a_cancel(self, submit: Submit, cluster: Cluster) -> None:
        run = self.submit_to(submit, "import time; print('here', flush=True); time.sleep(600)")
        wait_until(lambda: len(cluster.kubelet.running()) == 2)
        wait_until(lambda: run.get_status() == "Running")
        run.cancel()
        assert run.wait_for_completion()["status"] == "Canceled"
