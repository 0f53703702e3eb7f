"""Several processes for one run: started together, told of each other, ended together.

Started in place of the script, as a file and not as a module, so that nothing of the run's folder is imported:

    python -I -S distributed.py '{"kind": "pytorch", "processes": 2, …}' COMMAND…

Each process gets the variables of its kind; `$NAME` of them in the command is expanded. The first one writes where this
process does; the others have a log of their own beside it. When one fails the others are ended, and its exit code, or
the signal that ended it, is the run's.

A run over several nodes has one of these on each, started by whatever knows the nodes, which says by variables:

    TOOLKIT_NODE_COUNT  TOOLKIT_NODE_RANK    how many nodes there are, and which this is, from 0
    MASTER_ADDR  MASTER_PORT                 an address of node 0 that all nodes reach, and a free port there
    TOOLKIT_FAILURE                          where that exists, a file that keeps which process failed first, and how

Then only that node's processes are started, those of PyTorch by torchrun where the environment has it.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional, Tuple

HOST = "127.0.0.1"
NODE_COUNT, NODE_RANK, FAILURE = "TOOLKIT_NODE_COUNT", "TOOLKIT_NODE_RANK", "TOOLKIT_FAILURE"
GRACE_SECONDS = 10.0  # between TERM and KILL for the others, when one has failed
TAIL_BYTES = 4096  # of a failed process's own log, shown in the driver log
_POLL_SECONDS = 0.05


class Place:
    """Where this process is among the nodes of the run: their number, its own, and where node 0 listens."""

    def __init__(self, count: int, rank: int, address: str, port: int) -> None:
        self.count = count
        self.rank = rank
        self.address = address
        self.port = port

    @classmethod
    def of_environment(cls) -> "Optional[Place]":
        """As whoever started this process on one of several nodes says; None where all runs on this machine."""
        count = int(os.environ.get(NODE_COUNT) or 1)
        if count == 1:
            return None
        return cls(count, int(os.environ[NODE_RANK]), os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))


class Rank:
    """One process of the run: its name, its variables, and whether the run waits for its end."""

    def __init__(self, name: str, variables: Dict[str, str], awaited: bool = True) -> None:
        self.name = name
        self.variables = variables
        self.awaited = awaited
        self.log = ""
        self.process: "Optional[subprocess.Popen[bytes]]" = None
        self.stopped = 0  # the signal by which it was told to stop


def ranks(spec: Dict[str, Any], place: Optional[Place] = None) -> List[Rank]:
    """The processes that `spec` asks for on this node, the first one first."""
    if spec["kind"] == "tensorflow":
        return _tensorflow(int(spec["workers"]), int(spec["servers"]))
    place = place or Place(1, 0, HOST, free_ports(1)[0])
    size = int(spec["processes"])
    here = size // place.count
    return [Rank(str(place.rank * here + one), variables(spec["kind"], one, size, place)) for one in range(here)]


def variables(kind: str, local: int, size: int, place: Place) -> Dict[str, str]:
    """What the process `local` of this node is told, in a run of `size` processes."""
    here = size // place.count
    rank = place.rank * here + local
    master = "%s:%d" % (place.address, place.port)
    told = {
        "AZ_BATCHAI_TASK_INDEX": str(rank),
        "AZ_BATCH_MASTER_NODE": master,
        "AZ_BATCHAI_MPI_MASTER_NODE": place.address,
        "AZ_BATCHAI_PYTORCH_INIT_METHOD": "tcp://" + master,
        "MASTER_ADDR": place.address,
        "MASTER_PORT": str(place.port),
    }
    if kind == "mpi":
        names = {"WORLD_RANK": rank, "WORLD_LOCAL_RANK": local, "WORLD_NODE_RANK": local}
        names.update({"WORLD_SIZE": size, "WORLD_LOCAL_SIZE": here})
        told.update({"OMPI_COMM_" + name: str(value) for name, value in names.items()})
    else:
        told.update({"RANK": str(rank), "LOCAL_RANK": str(local), "NODE_RANK": str(place.rank)})
        told.update({"WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(here)})
    if "SLURM_PROCID" in os.environ:  # Slurm knows of one task a node: frameworks that go by its words would be misled
        told.update({"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(local), "SLURM_NODEID": str(place.rank)})
        told.update({"SLURM_NTASKS": str(size), "SLURM_NPROCS": str(size), "SLURM_NTASKS_PER_NODE": str(here)})
    return told


def _tensorflow(workers: int, servers: int) -> List[Rank]:
    ports = ["%s:%d" % (HOST, port) for port in free_ports(workers + servers)]
    cluster = {"worker": ports[:workers]}
    if servers:
        cluster["ps"] = ports[workers:]
    made = []
    for kind, count in (("worker", workers), ("ps", servers)):
        for index in range(count):
            config = {"cluster": cluster, "task": {"type": kind, "index": index}, "environment": "cloud"}
            variables = {"TF_CONFIG": json.dumps(config), "AZ_BATCHAI_TASK_INDEX": str(index)}
            variables["AZ_BATCHAI_JOB_NAME"] = kind
            variables["AZ_BATCHAI_WORKER_HOSTS"] = ",".join(cluster["worker"])
            variables["AZ_BATCHAI_PS_HOSTS"] = ",".join(cluster.get("ps", []))
            made.append(Rank("%s-%d" % (kind, index), variables, awaited=kind == "worker"))
    return made


def free_ports(count: int) -> List[int]:
    """Ports of this machine that nobody listens on now."""
    held = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for one in held:
            one.bind((HOST, 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def expand(part: str, variables: Dict[str, str]) -> str:
    """`part` with $NAME and ${NAME} of `variables` replaced; other names stay."""
    return re.sub(r"\$(\w+|\{\w+\})", lambda match: variables.get(match.group(1).strip("{}"), match.group(0)), part)


class Group:
    """The processes of one run, or those that it has on this node."""

    def __init__(
        self, members: List[Rank], command: List[str], shell: bool, folder: str, place: Optional[Place] = None
    ) -> None:
        self.members = members
        self.command = command
        self.shell = shell  # whose variables are the shell's to expand
        self.folder = folder
        self.place = place
        self.stopped = 0

    def start(self) -> None:
        # URG, which programs ignore that do not ask for it, stands for TERM where a signal reaches the script as well.
        for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGURG):
            signal.signal(signal_number, self._stop)
        for signal_number in (signal.SIGUSR1, signal.SIGUSR2):  # a cluster's warning, which the script gets, too
            signal.signal(signal_number, lambda number, frame: None)
        for rank in self.members:
            environment = dict(os.environ)
            environment.update(rank.variables)
            command = self.command if self.shell else [expand(part, rank.variables) for part in self.command]
            rank.process, rank.log = self._start(rank, command, environment)
            self._pass_on()  # what came before it was there

    def _start(
        self, rank: Rank, command: List[str], environment: Dict[str, str]
    ) -> "Tuple[subprocess.Popen[bytes], str]":
        leads = rank is self.members[0] and (self.place is None or rank.name == "0")
        if leads and self.place is None:
            return subprocess.Popen(command, env=environment), ""
        path = log_path(self.folder, "" if leads else rank.name)
        with open(path, "ab") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log), "" if leads else path

    def _stop(self, number: int, frame: object) -> None:
        self.stopped = signal.SIGTERM if number == signal.SIGURG else number
        self._pass_on()

    def _pass_on(self) -> None:
        """Tell those to stop that were not told yet: a script that is saving is not told twice."""
        for rank in self.members:
            if rank.process is not None and rank.stopped != self.stopped:
                rank.stopped = self.stopped
                _send(rank.process, self.stopped)

    def _send(self, number: int) -> None:
        for rank in self.members:
            if rank.process is not None:
                _send(rank.process, number)

    def wait(self) -> int:
        """Wait for all that are awaited, or the first that fails. The exit code, negative for a signal."""
        while True:
            codes = [rank.process.poll() for rank in self.members if rank.process is not None]
            failed = [position for position, code in enumerate(codes) if code]
            if failed and not self.stopped:
                return self._fail(self.members[failed[0]], codes[failed[0]] or 1)
            awaited = [code for rank, code in zip(self.members, codes) if rank.awaited]
            if all(code is not None for code in awaited):
                self.end()
                return -self.stopped if self.stopped else 0
            time.sleep(_POLL_SECONDS)

    def _fail(self, rank: Rank, code: int) -> int:
        how = "exited with code %d" % code if code > 0 else "was ended by signal %d" % -code
        others = len(self.members) - 1
        kept = keep_failure(rank.name, code)  # and said by whoever started the nodes
        if not kept:
            say("process %s %s%s" % (rank.name, how, ": ending the %d others" % others if others else ""))
        self.end()
        if rank.log and not kept:
            say("the end of its log, %s:\n%s" % (os.path.basename(rank.log), tail(rank.log)))
        return code

    def end(self) -> None:
        """End those that still live: TERM, some seconds, KILL."""
        self._send(signal.SIGTERM)
        deadline = time.time() + GRACE_SECONDS
        while time.time() < deadline:
            if all(rank.process is None or rank.process.poll() is not None for rank in self.members):
                return
            time.sleep(_POLL_SECONDS)
        self._send(signal.SIGKILL)
        for rank in self.members:
            if rank.process is not None:
                rank.process.wait()


def _send(process: "subprocess.Popen[bytes]", number: int) -> None:
    try:
        if process.poll() is None:
            process.send_signal(number)
    except OSError:
        pass  # it ended meanwhile


def say(message: str) -> None:
    sys.stderr.write("toolkit: %s\n" % message)
    sys.stderr.flush()


def tail(path: str) -> str:
    """The last lines of a log."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - TAIL_BYTES))
        return file.read().decode("utf-8", "replace").rstrip()


def log_path(folder: str, name: str) -> str:
    """The log of the process `name`; that of the first one, "", is the run's driver log."""
    separator = "" if not name else "-" if "-" in name else "_"
    return os.path.join(folder, "70_driver_log%s%s.txt" % (separator, name))


def keep_failure(name: str, code: int) -> bool:
    """Say which process failed to whoever started this on several nodes; the first is believed. Whether one listens."""
    path = os.environ.get(FAILURE)
    if not path:
        return False
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return True
    except OSError:
        return False
    os.write(descriptor, json.dumps({"name": name, "code": code}).encode())
    os.close(descriptor)
    return True


def has_torch(python: str) -> bool:
    """Whether the environment of the interpreter `python` has torchrun."""
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
    return subprocess.call([python, "-c", look], stdin=subprocess.DEVNULL) == 0


def torchrun(spec: Dict[str, Any], place: Place, command: List[str]) -> List[str]:
    """The command that starts the processes of this node by torchrun, each by way of `rank_of_torchrun`."""
    asked = ["--nnodes=%d" % place.count, "--node-rank=%d" % place.rank, "--max-restarts=0", "--rdzv-backend=static"]
    asked += ["--master-addr=" + place.address, "--master-port=%d" % place.port]
    asked.append("--nproc-per-node=%d" % (int(spec["processes"]) // place.count))
    own = [spec["python"], "-I", "-S", os.path.abspath(__file__), json.dumps(dict(spec, rank=True))]
    return [spec["python"], "-m", "torch.distributed.run"] + asked + ["--no-python"] + own + command


def rank_of_torchrun(spec: Dict[str, Any], command: List[str], folder: str) -> int:
    """One process as torchrun starts it: with our variables, in a log of its own; says how it failed."""
    place = Place.of_environment()
    assert place is not None
    told = variables(spec["kind"], int(os.environ["LOCAL_RANK"]), int(spec["processes"]), place)
    group = Group([Rank(os.environ["RANK"], told)], command, bool(spec.get("shell")), folder, place)
    group.start()
    return group.wait()


def main(arguments: List[str]) -> int:
    spec, command = json.loads(arguments[0]), arguments[1:]
    folder = os.path.join(os.environ["TOOLKIT_RUN_DIR"], "azureml-logs")
    place = Place.of_environment()
    if spec.get("rank"):
        return _end_as(rank_of_torchrun(spec, command, folder))
    shell = bool(spec.get("shell"))
    if place is not None and spec["kind"] == "pytorch" and has_torch(spec["python"]):
        members, command, shell = [Rank("node-%d" % place.rank, {})], torchrun(spec, place, command), True
    else:
        members = ranks(spec, place)
    group = Group(members, command, shell, folder, place)
    try:
        group.start()
    except BaseException:
        group.end()
        raise
    code = group.wait()
    # Whoever started the nodes knows that they were stopped; a node that ends badly would have the others killed.
    return 0 if group.stopped and os.environ.get(FAILURE) else _end_as(code)


def _end_as(code: int) -> int:
    """The exit code; where a signal ended it this process ends likewise, so that the exit record names it."""
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
