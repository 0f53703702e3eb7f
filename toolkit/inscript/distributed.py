"""Several processes for one run: started together, told of each other, ended together.

Started in place of the script, as a file and not as a module, so that nothing of the run's folder is imported:

    python -I -S distributed.py '{"kind": "pytorch", "processes": 2, …}' COMMAND…

Each process gets the variables of its kind; `$NAME` of them in the command is expanded. The first one writes where this
process does; the others have a log of their own beside it. When one fails the others are ended, and its exit code, or
the signal that ended it, is the run's.
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
GRACE_SECONDS = 10.0  # between TERM and KILL for the others, when one has failed
TAIL_BYTES = 4096  # of a failed process's own log, shown in the driver log
_POLL_SECONDS = 0.05


class Rank:
    """One process of the run: its name, its variables, and whether the run waits for its end."""

    def __init__(self, name: str, variables: Dict[str, str], awaited: bool = True) -> None:
        self.name = name
        self.variables = variables
        self.awaited = awaited
        self.log = ""
        self.process: "Optional[subprocess.Popen[bytes]]" = None


def ranks(spec: Dict[str, Any]) -> List[Rank]:
    """The processes that `spec` asks for, the first one first."""
    if spec["kind"] == "tensorflow":
        return _tensorflow(int(spec["workers"]), int(spec["servers"]))
    size = int(spec["processes"])
    port = free_ports(1)[0]
    return [Rank(str(number), _variables(spec["kind"], number, size, port)) for number in range(size)]


def _variables(kind: str, rank: int, size: int, port: int) -> Dict[str, str]:
    master = "%s:%d" % (HOST, port)
    variables = {
        "AZ_BATCHAI_TASK_INDEX": str(rank),
        "AZ_BATCH_MASTER_NODE": master,
        "AZ_BATCHAI_MPI_MASTER_NODE": HOST,
        "AZ_BATCHAI_PYTORCH_INIT_METHOD": "tcp://" + master,
        "MASTER_ADDR": HOST,
        "MASTER_PORT": str(port),
    }
    if kind == "mpi":
        names = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_NODE_RANK")
        variables.update({name: str(rank) for name in names})
        variables["OMPI_COMM_WORLD_SIZE"] = variables["OMPI_COMM_WORLD_LOCAL_SIZE"] = str(size)
    else:
        variables.update({"RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0"})
        variables["WORLD_SIZE"] = variables["LOCAL_WORLD_SIZE"] = str(size)
    return variables


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
    """The processes of one run."""

    def __init__(self, members: List[Rank], command: List[str], shell: bool, folder: str) -> None:
        self.members = members
        self.command = command
        self.shell = shell  # whose variables are the shell's to expand
        self.folder = folder
        self.stopped = 0

    def start(self) -> None:
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_number, self._stop)
        for position, rank in enumerate(self.members):
            environment = dict(os.environ)
            environment.update(rank.variables)
            command = self.command if self.shell else [expand(part, rank.variables) for part in self.command]
            rank.process, rank.log = self._start(rank, command, environment, position == 0)

    def _start(
        self, rank: Rank, command: List[str], environment: Dict[str, str], first: bool
    ) -> "Tuple[subprocess.Popen[bytes], str]":
        if first:
            return subprocess.Popen(command, env=environment), ""
        separator = "-" if "-" in rank.name else "_"
        path = os.path.join(self.folder, "70_driver_log%s%s.txt" % (separator, rank.name))
        with open(path, "ab") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log), path

    def _stop(self, number: int, frame: object) -> None:
        self.stopped = number
        self._send(number)

    def _send(self, number: int) -> None:
        for rank in self.members:
            if rank.process is not None and rank.process.poll() is None:
                try:
                    rank.process.send_signal(number)
                except OSError:
                    pass  # it ended meanwhile

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
        say("process %s %s%s" % (rank.name, how, ": ending the %d others" % others if others else ""))
        self.end()
        if rank.log:
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


def say(message: str) -> None:
    sys.stderr.write("toolkit: %s\n" % message)
    sys.stderr.flush()


def tail(path: str) -> str:
    """The last lines of a log."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - TAIL_BYTES))
        return file.read().decode("utf-8", "replace").rstrip()


def main(arguments: List[str]) -> int:
    spec = json.loads(arguments[0])
    folder = os.path.join(os.environ["TOOLKIT_RUN_DIR"], "azureml-logs")
    group = Group(ranks(spec), arguments[1:], bool(spec.get("shell")), folder)
    try:
        group.start()
    except BaseException:
        group.end()
        raise
    code = group.wait()
    if code < 0:  # a signal ended it: this process ends likewise, so that the exit record names it
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
