"""Distributed training over two nodes of a Slurm cluster, with real srun, torchrun and gloo."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Submit, driver_log, lives, needs, wait_until
from tests.rig.slurm import Slurm
from tests.targets.slurm.conftest import job_of
from tests.test_distributed import ALL_REDUCE, logs
from toolkit import ActivityFailedException, Run, Workspace
from toolkit.distributed import MpiConfiguration, PyTorchConfiguration, TensorflowConfiguration

SHOW = """
    import json, os, sys
    names = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
             "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE", "SLURM_PROCID",
             "SLURM_NODEID", "SLURM_NTASKS", "SLURMD_NODENAME", "CUDA_VISIBLE_DEVICES", "TORCHELASTIC_RUN_ID",
             "TOOLKIT_RUN_DIR", "AZ_BATCH_MASTER_NODE")
    print(json.dumps({"arguments": sys.argv[1:], **{name: os.environ.get(name) for name in names}}))
"""


def shown(run: Run) -> list[dict[str, str]]:
    lines = [line for text in logs(run).values() for line in text.splitlines() if line.startswith("{")]
    return [json.loads(line) for line in lines]


def message(run: Run) -> str:
    with pytest.raises(ActivityFailedException):
        run.wait_for_completion()
    return str(run.get_details()["error"]["error"]["message"])


def test_mpi_over_nodes(submit: Submit, workspace: Workspace) -> None:
    configuration = workspace.paths.configuration
    configuration.write_text(configuration.read_text().replace("many: {", "many: {gpus: 1, "))
    run = submit(
        SHOW,
        compute_target="many",
        arguments=["$OMPI_COMM_WORLD_RANK"],
        distributed_job_config=MpiConfiguration(process_count_per_node=2, node_count=2),
    )
    assert run.wait_for_completion()["status"] == "Completed", driver_log(run)
    found = sorted(shown(run), key=lambda one: one["OMPI_COMM_WORLD_RANK"])
    places = [(one["arguments"][0], one["OMPI_COMM_WORLD_LOCAL_RANK"], one["SLURMD_NODENAME"]) for one in found]
    assert places == [("0", "0", "one"), ("1", "1", "one"), ("2", "0", "two"), ("3", "1", "two")]
    assert {one["OMPI_COMM_WORLD_SIZE"] for one in found} == {one["SLURM_NTASKS"] for one in found} == {"4"}
    assert [one["SLURM_PROCID"] for one in found] == ["0", "1", "2", "3"]
    assert {one["CUDA_VISIBLE_DEVICES"] for one in found} == {"0"}
    assert {one["TOOLKIT_RUN_DIR"] for one in found} == {run.directory.root}
    assert len({one["AZ_BATCH_MASTER_NODE"] for one in found}) == 1
    assert sorted(logs(run)) == ["70_driver_log.txt", *(f"70_driver_log_{rank}.txt" for rank in (1, 2, 3))]


def test_pytorch_over_nodes_is_started_by_torchrun(submit: Submit) -> None:
    needs(importlib.util.find_spec("torch"), "torch")
    job = PyTorchConfiguration("Gloo", process_count=4, node_count=2)
    run = submit(SHOW, compute_target="many", arguments=["--rank", "$RANK"], distributed_job_config=job)
    assert run.wait_for_completion()["status"] == "Completed", driver_log(run)
    found = sorted(shown(run), key=lambda one: one["RANK"])
    places = [(one["RANK"], one["LOCAL_RANK"], one["NODE_RANK"], one["arguments"][1]) for one in found]
    assert places == [("0", "0", "0", "0"), ("1", "1", "0", "1"), ("2", "0", "1", "2"), ("3", "1", "1", "3")]
    assert {(one["WORLD_SIZE"], one["LOCAL_WORLD_SIZE"]) for one in found} == {("4", "2")}
    assert len({(one["MASTER_ADDR"], one["MASTER_PORT"]) for one in found}) == 1
    assert all(one["TORCHELASTIC_RUN_ID"] for one in found)


def test_gloo_over_nodes(submit: Submit) -> None:
    needs(importlib.util.find_spec("torch"), "torch")
    job = PyTorchConfiguration("Gloo", node_count=2)
    run = submit(ALL_REDUCE, compute_target="many", distributed_job_config=job)
    assert run.wait_for_completion()["status"] == "Completed", driver_log(run)
    assert run.get_metrics() == {"rank 0": 3.0, "rank 1": 3.0, "sum": [3.0, 3.0]}
    assert driver_log(run) == "rank 0 of 2 local 0\n"


@pytest.mark.parametrize("job", [MpiConfiguration(1, 2), PyTorchConfiguration("Gloo", node_count=2)])
def test_one_node_that_fails_ends_the_others(submit: Submit, job: MpiConfiguration | PyTorchConfiguration) -> None:
    script = """
        import os, sys, time
        if os.environ.get("RANK", os.environ.get("OMPI_COMM_WORLD_RANK")) == "1":
            while not os.path.exists("pid"):
                time.sleep(0.05)
            print("no such layer")
            sys.exit(42)
        open("pid.tmp", "w").write(str(os.getpid()))
        os.rename("pid.tmp", "pid")
        time.sleep(600)
    """
    run = submit(script, compute_target="many", distributed_job_config=job)
    assert message(run) == "train.py exited with code 42: no such layer", driver_log(run)
    assert "toolkit: process 1 exited with code 42: the others were ended" in driver_log(run)
    pid = int((Path(run.directory.work) / "pid").read_text())
    wait_until(lambda: not lives(pid))


SAVE = """
    import os, signal, sys, time
    def stop(number, frame):
        time.sleep(1.5)  # another signal would end it
        open("stopped-%s" % os.environ["OMPI_COMM_WORLD_RANK"], "w").close()
        sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
    print("here", flush=True)
    open("started-%s" % os.environ["OMPI_COMM_WORLD_RANK"], "w").close()
    time.sleep(600)
"""


def saving(submit: Submit, workspace: Workspace) -> Run:
    """A run on two nodes whose processes take a while to save when they are told to stop."""
    configuration = workspace.paths.configuration
    configuration.write_text(configuration.read_text().replace("cancel_grace_seconds: 1", "cancel_grace_seconds: 20"))
    run = submit(SAVE, compute_target="many", distributed_job_config=MpiConfiguration(1, 2))
    wait_until(lambda: len([*Path(run.directory.work).glob("started-*")]) == 2)
    return run


def stopped(run: Run) -> list[str]:
    return sorted(path.name for path in Path(run.directory.work).glob("stopped-*"))


def test_cancelling_reaches_all_nodes_with_time_to_save(submit: Submit, slurm: Slurm, workspace: Workspace) -> None:
    run = saving(submit, workspace)
    run.cancel()
    assert run.wait_for_completion()["status"] == "Canceled"
    assert stopped(run) == ["stopped-0", "stopped-1"]
    slurm.wait_idle()


def test_what_tells_other_nodes_to_stop_leaves_their_scripts_time(
    submit: Submit, slurm: Slurm, workspace: Workspace
) -> None:
    run = saving(submit, workspace)
    slurm.call("scancel", "--signal=URG", job_of(run))
    run.wait_for_completion(raise_on_error=False)
    assert stopped(run) == ["stopped-0", "stopped-1"]


SLOW_ON_NODES = """\
#!/bin/sh
for last; do :; done
[ "$last" = node ] && sleep 2
exec {python} "$@"
"""


def test_a_node_that_comes_up_after_the_cancel_is_told_as_well(
    submit: Submit, slurm: Slurm, workspace: Workspace, tmp_path: Path
) -> None:
    slow = tmp_path / "python"
    slow.write_text(SLOW_ON_NODES.format(python=sys.executable))
    slow.chmod(0o755)
    configuration = workspace.paths.configuration
    said = configuration.read_text().replace(sys.executable, str(slow))
    configuration.write_text(said.replace("cancel_grace_seconds: 1", "cancel_grace_seconds: 600"))
    run = submit("import time; time.sleep(600)", compute_target="many", distributed_job_config=MpiConfiguration(1, 2))
    wait_until(lambda: run.get_status() == "Running")
    run.cancel()
    wait_until(lambda: run.get_status() == "Canceled")
    slurm.wait_idle()


def test_a_command_over_nodes(submit: Submit, workspace: Workspace, tmp_path: Path) -> None:
    from toolkit import Experiment, ScriptRunConfig

    (tmp_path / "project").mkdir()
    config = ScriptRunConfig(
        str(tmp_path / "project"),
        command="echo rank $OMPI_COMM_WORLD_RANK on $SLURMD_NODENAME",
        compute_target="many",
        distributed_job_config=MpiConfiguration(1, 2),
    )
    run = Experiment(workspace, "e").submit(config)
    assert run.wait_for_completion()["status"] == "Completed"
    assert logs(run) == {"70_driver_log.txt": "rank 0 on one\n", "70_driver_log_1.txt": "rank 1 on two\n"}


def test_parameter_servers_stay_on_one_node_and_it_is_said(submit: Submit, capsys: pytest.CaptureFixture[str]) -> None:
    job = TensorflowConfiguration(worker_count=2)
    run = submit("import os; print(os.environ['SLURMD_NODENAME'])", compute_target="many", distributed_job_config=job)
    assert run.wait_for_completion()["status"] == "Completed"
    assert "are all started on one node of the cluster" in capsys.readouterr().err
    assert len({*logs(run).values()}) == 1


TRAIN = """
    import sys
    import torch, torch.distributed as dist
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset
    from torch.utils.data.distributed import DistributedSampler
    import cifar10
    from model import Net
    from toolkit import Run

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    torch.manual_seed(7)
    images, labels = cifar10.load(train=False)
    data = TensorDataset(images.float() / 255, labels)
    loader = DataLoader(data, batch_size=32, sampler=DistributedSampler(data, shuffle=True, seed=7))
    model = nn.parallel.DistributedDataParallel(Net())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for step, (images, labels) in zip(range(int(sys.argv[1])), loader):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        if dist.get_rank() == 0:
            Run.get_context().log("loss", mean.item() / dist.get_world_size())
    del model, optimizer, loss  # a reducer that outlives its process group may abort the interpreter's end
    dist.barrier()
    dist.destroy_process_group()
"""


def test_two_nodes_train_as_one_does(workspace: Workspace, tmp_path: Path, data: Path) -> None:
    """CIFAR-10: the same seed and the same batches give the same losses, wherever the processes are."""
    from toolkit import Experiment, ScriptRunConfig

    needs(importlib.util.find_spec("torch"), "torch")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("cifar10.py", "model.py"):
        shutil.copy(REPOSITORY / "src" / name, source)
    (source / "train.py").write_text(textwrap.dedent(TRAIN))
    losses = []
    for nodes in (2, 1):
        config = ScriptRunConfig(
            str(source),
            script="train.py",
            arguments=[20],
            compute_target="many",
            distributed_job_config=PyTorchConfiguration("Gloo", process_count=2, node_count=nodes),
        )
        config.run_config.environment_variables.update({"TOOLKIT_DATA": str(data), "OMP_NUM_THREADS": "1"})
        run = Experiment(workspace, "nodes").submit(config)
        assert run.wait_for_completion()["status"] == "Completed", driver_log(run)
        losses.append(run.get_metrics()["loss"])
    assert losses[0] == losses[1] and len(losses[0]) == 20
