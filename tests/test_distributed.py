"""Runs of several processes: started together, told of each other, ended together."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tests.conftest import Submit, driver_log, lives, needs, wait_until
from toolkit import Run, UserErrorException
from toolkit.distributed import MpiConfiguration, PyTorchConfiguration, TensorflowConfiguration, plan
from toolkit.inscript.distributed import expand
from toolkit.run_configuration import RunConfiguration

ALL_REDUCE = """
    import os
    import torch, torch.distributed as dist
    from toolkit import Run

    dist.init_process_group("gloo")
    value = torch.ones(1) * (dist.get_rank() + 1)
    dist.all_reduce(value)
    run = Run.get_context()
    run.log("rank %d" % dist.get_rank(), value.item())
    run.log("sum", value.item())
    print("rank", dist.get_rank(), "of", dist.get_world_size(), "local", os.environ["LOCAL_RANK"])
    dist.destroy_process_group()
"""
SHOW = """
    import json, os, sys
    names = ("RANK", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "TF_CONFIG",
             "AZ_BATCHAI_TASK_INDEX", "AZ_BATCH_MASTER_NODE", "MASTER_ADDR", "AZUREML_RUN_ID")
    print(json.dumps({"arguments": sys.argv[1:], **{name: os.environ.get(name) for name in names}}))
"""


def logs(run: Run) -> dict[str, str]:
    folder = Path(run.directory.logs)
    return {path.name: path.read_text() for path in sorted(folder.glob("70_*.txt"))}


def shown(run: Run) -> list[dict[str, object]]:
    return [json.loads(line) for text in logs(run).values() for line in text.splitlines() if line.startswith("{")]


def test_pytorch(submit: Submit) -> None:
    needs(importlib.util.find_spec("torch"), "torch")
    run = submit(ALL_REDUCE, distributed_job_config=PyTorchConfiguration("Gloo", process_count=2))
    assert run.wait_for_completion()["status"] == "Completed", driver_log(run)
    assert run.get_metrics() == {"rank 0": 3.0, "rank 1": 3.0, "sum": [3.0, 3.0]}
    assert logs(run) == {
        "70_driver_log.txt": "rank 0 of 2 local 0\n",
        "70_driver_log_1.txt": "rank 1 of 2 local 1\n",
    }
    assert "azureml-logs/70_driver_log_1.txt" in run.get_file_names()


def test_mpi(submit: Submit) -> None:
    run = submit(
        SHOW,
        arguments=["--rank", "$OMPI_COMM_WORLD_RANK", "--dist-url", "$AZ_BATCHAI_PYTORCH_INIT_METHOD", "$NOBODY"],
        distributed_job_config=MpiConfiguration(process_count_per_node=2, node_count=2),
    )
    run.wait_for_completion()
    found = shown(run)
    assert [one["OMPI_COMM_WORLD_RANK"] for one in found] == ["0", "1", "2", "3"]
    assert {one["OMPI_COMM_WORLD_SIZE"] for one in found} == {"4"}, "all nodes are this machine"
    assert [one["arguments"][1] for one in found] == ["0", "1", "2", "3"]  # type: ignore[index]
    assert {one["arguments"][3] for one in found} == {f"tcp://{found[0]['AZ_BATCH_MASTER_NODE']}"}  # type: ignore[index]
    assert {one["arguments"][4] for one in found} == {"$NOBODY"}  # type: ignore[index]
    assert {one["AZUREML_RUN_ID"] for one in found} == {run.id}


def test_several_nodes_on_one_machine_are_said(submit: Submit, capsys: pytest.CaptureFixture[str]) -> None:
    submit("pass", distributed_job_config=MpiConfiguration(2, 2)).wait_for_completion()
    assert "2 nodes are asked for: their 4 processes all run on this machine" in capsys.readouterr().err
    run = submit("pass", distributed_job_config=PyTorchConfiguration(process_count=2))
    run.wait_for_completion()
    assert "nodes" not in capsys.readouterr().err


def test_tensorflow(submit: Submit) -> None:
    script = SHOW + "    import time; time.sleep(60 if '\"ps\", \"index\"' in os.environ['TF_CONFIG'] else 0)\n"
    run = submit(script, distributed_job_config=TensorflowConfiguration(worker_count=2, parameter_server_count=1))
    assert run.wait_for_completion()["status"] == "Completed", "it does not wait for the parameter server"
    assert sorted(logs(run)) == ["70_driver_log-ps-0.txt", "70_driver_log-worker-1.txt", "70_driver_log.txt"]
    configs = [json.loads(str(one["TF_CONFIG"])) for one in shown(run)]
    tasks = [(one["task"]["type"], one["task"]["index"]) for one in configs]
    assert sorted(tasks) == [("ps", 0), ("worker", 0), ("worker", 1)]
    assert len({json.dumps(one["cluster"]) for one in configs}) == 1
    cluster = configs[0]["cluster"]
    assert len({*cluster["worker"], *cluster["ps"]}) == 3


def test_one_that_fails_ends_the_others(submit: Submit) -> None:
    script = """
        import os, sys, time
        if os.environ["RANK"] == "1":
            sys.exit("no such layer")
        open("pid-%s" % os.environ["RANK"], "w").write(str(os.getpid()))
        time.sleep(60)
    """
    run = submit(script, distributed_job_config=PyTorchConfiguration(process_count=3))
    details = run.wait_for_completion(raise_on_error=False)
    assert details["status"] == "Failed"
    message = details["error"]["error"]["message"]
    assert message == "train.py exited with code 1: no such layer"
    assert "process 1 exited with code 1: ending the 2 others" in driver_log(run)
    pids = [int(file.read_text()) for file in Path(run.directory.work).glob("pid-*")]
    assert not any(lives(pid) for pid in pids)


def test_one_that_is_killed(submit: Submit) -> None:
    script = """
        import os, signal, time
        if os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    """
    run = submit(script, distributed_job_config=PyTorchConfiguration(process_count=2))
    details = run.wait_for_completion(raise_on_error=False)
    assert details["error"]["error"]["code"] == "Signal"
    assert "was ended by SIGKILL" in details["error"]["error"]["message"]


def test_cancelling_reaches_all(submit: Submit) -> None:
    script = """
        import os, signal, sys, time
        def stop(number, frame):
            open("stopped-%s" % os.environ["RANK"], "w").close()
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        open("pid-%s" % os.environ["RANK"], "w").write(str(os.getpid()))
        time.sleep(60)
    """
    run = submit(script, distributed_job_config=PyTorchConfiguration(process_count=2))
    work = Path(run.directory.work)
    wait_until(lambda: all((work / f"pid-{rank}").is_file() for rank in (0, 1)))
    pids = [int((work / f"pid-{rank}").read_text() or 0) for rank in (0, 1)]
    run.cancel()
    assert run.wait_for_completion()["status"] == "Canceled"
    assert sorted(path.name for path in work.glob("stopped-*")) == ["stopped-0", "stopped-1"]
    assert not any(lives(pid) for pid in pids)


def test_a_command(submit: Submit, workspace: object, tmp_path: Path) -> None:
    from toolkit import Experiment, ScriptRunConfig, Workspace

    assert isinstance(workspace, Workspace)
    source = tmp_path / "project"
    source.mkdir()
    config = ScriptRunConfig(
        str(source), command="echo rank $RANK of $WORLD_SIZE", distributed_job_config=PyTorchConfiguration("Gloo", 2)
    )
    run = Experiment(workspace, "e").submit(config)
    run.wait_for_completion()
    assert "".join(logs(run).values()) == "rank 0 of 2\nrank 1 of 2\n"


def test_nothing_of_the_run_s_folder_is_imported_by_what_starts_the_processes(submit: Submit, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "toolkit").mkdir(parents=True)
    for name in ("json.py", "socket.py"):
        (source / name).write_text("raise SystemExit('shadowed')")
    run = submit("print('ran')", distributed_job_config=MpiConfiguration(1))
    assert run.wait_for_completion()["status"] == "Completed" and driver_log(run) == "ran\n"


class TestTheOlderWay:
    """Before `distributed_job_config`: framework, communicator and node_count of the run configuration."""

    def test_mpi(self) -> None:
        run_config = RunConfiguration(framework="Python", communicator="OpenMpi")
        run_config.node_count = 2
        run_config.mpi.process_count_per_node = 3
        assert plan(run_config) == {"kind": "mpi", "nodes": 2, "processes": 6}

    def test_pytorch(self) -> None:
        run_config = RunConfiguration(framework="PyTorch", communicator="Nccl")
        run_config.node_count = 2
        assert plan(run_config) == {"kind": "pytorch", "nodes": 2, "processes": 2}

    def test_tensorflow(self) -> None:
        run_config = RunConfiguration(framework="TensorFlow", communicator="ParameterServer")
        run_config.tensorflow.worker_count = 2
        assert plan(run_config) == {"kind": "tensorflow", "nodes": 3, "workers": 2, "servers": 1}

    def test_none(self, submit: Submit, capsys: pytest.CaptureFixture[str]) -> None:
        assert plan(RunConfiguration()) is None
        run = submit("print('once')")
        run.wait_for_completion()
        assert driver_log(run) == "once\n"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PyTorchConfiguration("Smoke"), "communication_backend is 'Smoke': it can be Nccl or Gloo"),
        (lambda: PyTorchConfiguration(process_count=0), "process_count is 0"),
        (lambda: MpiConfiguration("2"), "process_count_per_node is '2'"),  # type: ignore[arg-type]
        (lambda: TensorflowConfiguration(worker_count=0), "worker_count is 0"),
    ],
)
def test_what_is_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(UserErrorException, match=message):
        make()


def test_processes_that_nodes_cannot_share_evenly() -> None:
    run_config = RunConfiguration(framework="PyTorch", communicator="Gloo")
    run_config.pytorch, run_config.node_count = PyTorchConfiguration(process_count=3), 2
    with pytest.raises(UserErrorException, match="use process_count=2 or 4"):
        plan(run_config)


def test_names_that_a_process_does_not_have_stay() -> None:
    assert expand("${A}-$B", {"A": "1"}) == "1-$B"
