"""Runs of several processes: what Azure ML SDK v1 called MPI, PyTorch and TensorFlow configurations.

All processes of a run are on the machine of its compute target, or on as many nodes as it asks for where the target has
nodes to give. `toolkit.inscript.distributed` starts them, on each node its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolkit.errors import UserErrorException

if TYPE_CHECKING:
    from toolkit.run_configuration import RunConfiguration

MPI = ("mpi", "intelmpi", "openmpi")
TORCH = ("nccl", "gloo")


class MpiConfiguration:
    """A run of `process_count_per_node` processes on each of `node_count` nodes, as `mpirun` would start them.

    The processes get the variables OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK and _LOCAL_SIZE.

    Raises:
        UserErrorException: a count that is not a whole number above 0.
    """

    def __init__(self, process_count_per_node: int = 1, node_count: int = 1) -> None:
        self.process_count_per_node = _count("process_count_per_node", process_count_per_node)
        self.node_count = _count("node_count", node_count)

    def __repr__(self) -> str:
        return f"MpiConfiguration(process_count_per_node={self.process_count_per_node}, node_count={self.node_count})"


class PyTorchConfiguration:
    """A run of `process_count` processes in all, by default one a node, as `torch.distributed` takes them.

    The processes get MASTER_ADDR, MASTER_PORT, WORLD_SIZE, RANK, LOCAL_RANK, LOCAL_WORLD_SIZE and NODE_RANK; on
    several nodes, torchrun starts those of each.

    Args:
        communication_backend: "Nccl" or "Gloo"; the script itself gives it to `init_process_group`.

    Raises:
        UserErrorException: a count that is not a whole number above 0, or another backend.
    """

    def __init__(
        self, communication_backend: str = "Nccl", process_count: int | None = None, node_count: int = 1
    ) -> None:
        if str(communication_backend).lower() not in TORCH:
            raise UserErrorException(f"communication_backend is {communication_backend!r}: it can be Nccl or Gloo")
        self.communication_backend = communication_backend.lower()
        self.process_count = None if process_count is None else _count("process_count", process_count)
        self.node_count = _count("node_count", node_count)

    def __repr__(self) -> str:
        return f"PyTorchConfiguration(process_count={self.process_count}, node_count={self.node_count})"


class TensorflowConfiguration:
    """A run of workers and parameter servers, each told of the others in TF_CONFIG. It ends when the workers have.

    Raises:
        UserErrorException: no worker, or a count that is not a whole number.
    """

    def __init__(self, worker_count: int = 1, parameter_server_count: int = 1) -> None:
        self.worker_count = _count("worker_count", worker_count)
        self.parameter_server_count = _count("parameter_server_count", parameter_server_count, least=0)

    def __repr__(self) -> str:
        return (
            f"TensorflowConfiguration(worker_count={self.worker_count}, "
            f"parameter_server_count={self.parameter_server_count})"
        )


Job = MpiConfiguration | PyTorchConfiguration | TensorflowConfiguration


def use(run_config: RunConfiguration, job: Job) -> None:
    """Have a run configuration ask for a distributed job.

    Raises:
        UserErrorException: `job` is none of the three configurations.
    """
    if isinstance(job, MpiConfiguration):
        run_config.mpi, run_config.communicator, run_config.node_count = job, "IntelMpi", job.node_count
    elif isinstance(job, PyTorchConfiguration):
        run_config.pytorch, run_config.framework, run_config.node_count = job, "PyTorch", job.node_count
        run_config.communicator = job.communication_backend.capitalize()
    elif isinstance(job, TensorflowConfiguration):
        run_config.tensorflow, run_config.framework = job, "TensorFlow"
        run_config.communicator = "ParameterServer"
        run_config.node_count = job.worker_count + job.parameter_server_count
    else:
        raise UserErrorException(
            f"distributed_job_config is {job!r}: it takes an MpiConfiguration, a PyTorchConfiguration or a "
            "TensorflowConfiguration"
        )


def plan(run_config: RunConfiguration) -> dict[str, Any] | None:
    """What `toolkit.inscript.distributed` is told of a run, or None for one of a single process that asks for nothing.

    Returns:
        "kind" ("mpi", "pytorch", "tensorflow"), "nodes" (as asked for), and "processes" or "workers" and "servers".

    Raises:
        UserErrorException: a count that is none, or processes that the nodes cannot share evenly.
    """
    communicator = str(run_config.communicator or "").lower()
    nodes = _count("node_count", run_config.node_count)
    if communicator in MPI:
        nodes = max(nodes, run_config.mpi.node_count)
        return {"kind": "mpi", "nodes": nodes, "processes": nodes * run_config.mpi.process_count_per_node}
    if communicator in TORCH:
        nodes = max(nodes, run_config.pytorch.node_count)
        processes = run_config.pytorch.process_count or nodes
        if processes % nodes:
            raise UserErrorException(
                f"process_count is {processes} and node_count {nodes}: each node starts as many processes, so use "
                f"process_count={nodes * max(1, processes // nodes)} or {nodes * (processes // nodes + 1)}"
            )
        return {"kind": "pytorch", "nodes": nodes, "processes": processes}
    if communicator == "parameterserver":
        asked = run_config.tensorflow
        workers, servers = asked.worker_count, asked.parameter_server_count
        return {"kind": "tensorflow", "nodes": workers + servers, "workers": workers, "servers": servers}
    return None


def notices(run_config: RunConfiguration, gpus: float, spans_nodes: bool = False) -> list[str]:
    """What of the distributed job a run does not follow, a line each.

    Args:
        gpus: the GPUs that a run has on its compute target, on each node.
        spans_nodes: whether the target starts it on as many nodes as it asks for.
    """
    planned = plan(run_config)
    if planned is None:
        alone = run_config.node_count > 1
        return (
            [
                f"node_count is {run_config.node_count}, and without an MPI, PyTorch or TensorFlow configuration the "
                "script is started once, on this machine"
            ]
            if alone
            else []
        )
    processes = planned.get("processes") or planned["workers"] + planned["servers"]
    said = []
    if spans_nodes:
        processes = -(-processes // planned["nodes"])
    elif planned["nodes"] > 1:
        said.append(f"{planned['nodes']} nodes are asked for: their {processes} processes all run on this machine")
    if 0 < gpus < processes and planned["kind"] != "tensorflow":
        said.append(
            f"{processes} processes share {gpus} GPU{'s' if gpus > 1 else ''}: raise `gpus` of the compute target, or "
            f"start {gpus}"
        )
    return said


def _count(name: str, value: object, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserErrorException(f"{name} is {value!r}: it must be a whole number, {least} or more")
    return value
