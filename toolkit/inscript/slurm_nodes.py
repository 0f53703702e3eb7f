"""A run over several nodes of a Slurm job: starts the parts of all nodes, on the first one, in the script's place.

    python -I -S slurm_nodes.py DOCUMENT        on the first node: srun of the same with `node`
    python -I -S slurm_nodes.py DOCUMENT node   on each node, by srun

DOCUMENT is `{"step": ["--nodes=2", …], "shell": false, "command": […]}`: options of srun, and `distributed.py` with
what it starts, whose `$NAME` each node expands, unless a shell does. How the process ended that failed first is how
this one ends: srun itself would tell of those that it ended after it.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional

RUN_DIRECTORY = "TOOLKIT_RUN_DIR"
_RUN_OF_NODE = "TOOLKIT_NODE_RUN"  # stands for the above on the way through srun
_NODE_COUNT, _NODE_RANK, _FAILURE = "TOOLKIT_NODE_COUNT", "TOOLKIT_NODE_RANK", "TOOLKIT_FAILURE"
_TELL_SECONDS = 1.0
_TAIL_BYTES = 4096  # of the failed process's log, shown in the driver log


def node(document: Dict[str, Any]) -> int:
    """Become the part of this node."""
    os.environ[RUN_DIRECTORY] = os.environ.pop(_RUN_OF_NODE)
    os.environ[_NODE_RANK] = os.environ["SLURM_NODEID"]
    os.environ[_NODE_COUNT] = os.environ["SLURM_STEP_NUM_NODES"]
    command = document["command"] if document["shell"] else [expand(part) for part in document["command"]]
    os.execvp(command[0], command)


def expand(part: str) -> str:
    """`part` with $NAME and ${NAME} of this node's variables replaced; other names stay."""
    return re.sub(r"\$(\w+|\{\w+\})", lambda match: os.environ.get(match.group(1).strip("{}"), match.group(0)), part)


class Srun:
    """srun as a child of this process, out of reach for what ends the run's processes.

    srun ends all of them at once, with KILL, when it gets a TERM; and a signal that is sent to its parts reaches every
    process of them. So this process gets the TERM and has an URG sent, which `distributed.py` takes for a TERM and
    scripts ignore.
    """

    def __init__(self, document: Dict[str, Any], environment: Dict[str, str]) -> None:
        self.stopped = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        asked = ["srun", "--export=ALL", "--kill-on-bad-exit=1", "--ntasks-per-node=1", "--input=none"]
        again = [document["command"][0], "-I", "-S", os.path.abspath(__file__), json.dumps(document), "node"]
        self._process = subprocess.Popen(
            asked + document["step"] + again, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def _stop(self, number: int, frame: object) -> None:
        self.stopped = number
        self._tell()

    def _tell(self) -> None:
        try:
            subprocess.Popen(["scancel", "--quiet", "--signal=URG", job()], stdin=subprocess.DEVNULL)
        except OSError:
            self._process.send_signal(signal.SIGTERM)  # better no time to save than to go on

    def wait(self) -> int:
        """Wait for its end; a part that was not there yet when all were told to stop is told again."""
        while True:
            try:
                return self._process.wait(_TELL_SECONDS)
            except subprocess.TimeoutExpired:
                if self.stopped:
                    self._tell()


def lead(document: Dict[str, Any]) -> int:
    """Start the parts of all nodes; the exit code of the run, negative for a signal."""
    run = os.environ[RUN_DIRECTORY]
    failure = os.path.join(run, ".failure-%d-%d" % (os.getpid(), int(time.time())))
    environment = {key: value for key, value in os.environ.items() if key != RUN_DIRECTORY}
    environment.update(
        {_RUN_OF_NODE: run, _FAILURE: failure, "MASTER_ADDR": address(), "MASTER_PORT": str(free_port())}
    )
    srun = Srun(document, environment)
    code = srun.wait()
    failed = _failed(failure)
    if srun.stopped:
        return -srun.stopped
    if failed is None:
        return code
    _say_failure(os.path.join(run, "azureml-logs"), str(failed["name"]), int(str(failed["code"])))
    return int(str(failed["code"]))


def job() -> str:
    """This job as Slurm's commands name it: the number of one in an array may be that of the whole array, too."""
    if "SLURM_ARRAY_TASK_ID" in os.environ:
        return "%s_%s" % (os.environ["SLURM_ARRAY_JOB_ID"], os.environ["SLURM_ARRAY_TASK_ID"])
    return os.environ["SLURM_JOB_ID"]


def address() -> str:
    """A name of this node that the others reach: Slurm's, or this host's where nobody can look that up."""
    name = os.environ.get("SLURMD_NODENAME", "")
    try:
        socket.getaddrinfo(name or "?", None)
        return name
    except OSError:
        return socket.gethostname()


def free_port() -> int:
    """A port of this node that nobody listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as held:
        held.bind(("", 0))
        return int(held.getsockname()[1])


def _failed(path: str) -> Optional[Dict[str, object]]:
    os.listdir(os.path.dirname(path))  # a shared file system looks anew
    try:
        with open(path) as file:
            failed: Dict[str, object] = json.load(file)
        os.unlink(path)
        return failed
    except (OSError, ValueError):
        return None


def _say_failure(folder: str, name: str, code: int) -> None:
    how = "exited with code %d" % code if code > 0 else "was ended by signal %d" % -code
    sys.stderr.write("toolkit: process %s %s: the others were ended\n" % (name, how))
    path = os.path.join(folder, "70_driver_log_%s.txt" % name)
    if os.path.exists(path):
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - _TAIL_BYTES))
            end = file.read().decode("utf-8", "replace").rstrip()
        sys.stderr.write("toolkit: the end of its log, %s:\n%s\n" % (os.path.basename(path), end))
    sys.stderr.flush()


def main(arguments: List[str]) -> int:
    document = json.loads(arguments[0])
    if arguments[1:] == ["node"]:
        return node(document)
    code = lead(document)
    if code < 0:  # a signal ended it: this process ends likewise, so that the exit record names it
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
