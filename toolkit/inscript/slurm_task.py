"""What Slurm starts for a run, on the first of its nodes: the launcher, with what the job says of itself.

Slurm starts it again when it has pre-empted the job, lost its node, or was told to requeue it: then the attempt that
ended is set aside, and the next one goes on in the same run directory.
"""

import os
import signal
import time
from typing import Dict

from toolkit.inscript import attempts, launcher, processes
from toolkit.inscript.files import claim_json, read_json, write_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.wake import wake_agent_of

RESTARTS = "SLURM_RESTART_COUNT"
# Of the submitter's environment, what speaks of another job or of another machine's devices.
_OF_DEVICES = (
    "CUDA_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "HIP_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
)
_OF_PROLOG = ("TMPDIR", "HOSTNAME", "KRB5CCNAME")  # where the job has them, they are the ones that hold on its node


def engine_id(environment: Dict[str, str]) -> str:
    """The job's own name as people write it: "17", or "17_3" in an array."""
    if environment.get("SLURM_ARRAY_TASK_ID"):
        return "%s_%s" % (environment["SLURM_ARRAY_JOB_ID"], environment["SLURM_ARRAY_TASK_ID"])
    return environment["SLURM_JOB_ID"]


def main(run_directory: str) -> int:
    run = RunDirectory(run_directory)
    if os.path.exists(run.cancel):  # while it waited in the queue, by an agent that could not reach Slurm
        claim_json(run.exit, {"reason": "stopped", "code": None, "signal": None, "time": time.time()})
        return 0
    if int(os.environ.get(RESTARTS) or 0) > 0 and not _begin_again(run):
        return 0
    _take_over(run)
    os.environ[launcher.ENGINE_ID] = engine_id(dict(os.environ))
    return _launch(run)


def _launch(run: RunDirectory) -> int:
    """Have a launcher as a child. Should it be killed, the script's processes are ended here.

    A cluster that follows processes by their parents only would lose sight of them.
    """
    child = os.fork()
    if child == 0:
        os._exit(launcher.main(run.root))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, frame: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status)
    script = read_json(run.script, {})
    processes.end_tree(run.root, int(script.get("pid", -1)), 0)
    if os.path.exists(run.heartbeat):
        os.unlink(run.heartbeat)  # so that its end is noticed at once
    wake_agent_of(run)
    return 128 + os.WTERMSIG(status)


def _begin_again(run: RunDirectory) -> bool:
    """Make room for the next attempt of the run. False where it has ended for good, or may not have another one."""
    record = read_json(run.exit)
    if record is not None and record["reason"] != "stopped":
        return False
    if not os.path.exists(run.started) and not attempts.is_halfway(run):
        return True  # the job was requeued before its launcher came up
    most = int((read_json(run.definition, {}).get("retry") or {}).get("max_retries") or 0)
    if attempts.count(run) >= most:
        return False
    attempts.set_aside(run)
    return True


def _take_over(run: RunDirectory) -> None:
    """Give the script the variables of this job beside those of its submitter, which may be of another job."""
    inherited = read_json(run.environ)
    if inherited is None:
        return
    kept = {name: value for name, value in inherited.items() if not _is_of_job(name)}
    own = {name: value for name, value in os.environ.items() if _is_of_job(name) or name in _OF_PROLOG}
    write_json(run.environ, dict(kept, **own), 0o600)


def _is_of_job(name: str) -> bool:
    return name.startswith("SLURM") or name in _OF_DEVICES
