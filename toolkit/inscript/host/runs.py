"""Runs on a host: started detached from the connection, ended with their whole tree, removed."""

import base64
import fcntl
import os
import shutil
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List

from toolkit.inscript import attempts, launching
from toolkit.inscript.files import is_locked, read_json, write_json
from toolkit.inscript.host import gpus
from toolkit.inscript.host.facts import boot
from toolkit.inscript.host.layout import Layout
from toolkit.inscript.rundir import RunDirectory

_BOOT = "boot"  # beside the other files of a run: when the host was started that has it
_LOCK = "host.lock"  # held by who starts or ends the run just now


@contextmanager
def _alone(run: RunDirectory) -> Iterator[None]:
    """Starts and ends of a run one after the other, whichever connection they come by."""
    if not os.path.isdir(run.root):  # somebody deleted it: nothing is started there
        yield
        return
    descriptor = os.open(os.path.join(run.root, _LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def launch(layout: Layout, asked: Dict[str, Any]) -> Dict[str, Any]:
    """Start the launcher of a run. One that was started already goes on; what is left of an earlier attempt is ended.

    Args:
        asked: `root`; `definition`, `plan` and `launcher`, the command; `attempt`, 1 for the first; `gpus`, how many it
            gets, and `order` among those that wait for one.

    Returns:
        {"pid": …}, or {"wait": "a sentence"} while all GPUs are taken.
    """
    run = RunDirectory(asked["root"])
    os.makedirs(run.logs, 0o700, exist_ok=True)
    with _alone(run):
        return _launch(layout, run, asked)


def _launch(layout: Layout, run: RunDirectory, asked: Dict[str, Any]) -> Dict[str, Any]:
    while attempts.is_halfway(run) or attempts.count(run) + 1 < asked["attempt"]:
        launching.end(run, 0)
        attempts.set_aside(run)
    started = read_json(run.started)
    if started is not None:
        return {"pid": started["pid"]}
    write_json(run.definition, asked["definition"], 0o600)
    plan = dict(asked["plan"], environment=dict(asked["plan"]["environment"]))
    if asked.get("gpus"):
        reply = _give_gpus(layout, run, plan, asked)
        if reply:
            return reply
    write_json(run.plan, plan, 0o600)
    write_json(os.path.join(run.root, _BOOT), boot())
    launching.launch(run, asked["launcher"])
    return {"pid": read_json(run.started)["pid"]}


def _give_gpus(layout: Layout, run: RunDirectory, plan: Dict[str, Any], asked: Dict[str, Any]) -> Dict[str, Any]:
    there = len(gpus.there())
    if there < asked["gpus"]:
        raise ValueError(
            "each run is to have %d GPUs, and the host has %s by `nvidia-smi`: lower `gpus` of the compute target"
            % (asked["gpus"], there or "none")
        )
    given = gpus.take(run, asked["order"], asked["gpus"], layout.waiter)
    if given is None:
        return {"wait": "waiting for a free GPU: %d are needed, and the host has %d" % (asked["gpus"], there)}
    plan["environment"]["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    plan["environment"]["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.index or gpu.uuid for gpu in given)
    return {}


def cancel(asked: Dict[str, Any], then: Callable[[str], None]) -> None:
    """End an attempt within `grace` seconds, at once with 0; `then` is called for one that has no launcher any more.

    What is asked may have been overtaken by the launch of the next attempt, which goes on then.
    """
    run = RunDirectory(asked["root"])
    with _alone(run):
        ended = attempts.count(run) < asked["attempt"] and launching.end(run, asked["grace"])
    if ended:
        then(asked["root"])


def was_restarted(run: RunDirectory) -> bool:
    """Whether the host was started again since the run was."""
    then = read_json(os.path.join(run.root, _BOOT), "")
    return bool(then) and then != boot()


def put(asked: Dict[str, Any]) -> None:
    """Write a small file into a run directory: an answer to what its script asked, or a sign that one is coming."""
    name = os.path.normpath(asked["path"])
    if os.path.isabs(name) or not name.startswith("requests" + os.sep):
        raise ValueError("%r is not a file that is put into a run" % asked["path"])
    path = os.path.join(asked["root"], name)
    if not os.path.isdir(os.path.dirname(path)):
        return  # nobody asks any more
    staging = path + ".tmp"
    with open(staging, "wb") as file:
        file.write(base64.b64decode(asked["base64"]))
    os.replace(staging, path)


def remove(layout: Layout, root: str) -> None:
    """Delete the directory of a run that has ended, and end what is left of its processes."""
    if os.path.dirname(root) != layout.runs:
        raise ValueError("%s is not a run of this workspace" % root)
    run = RunDirectory(root)
    if is_locked(run.launcher_lock):
        launching.end(run, 0)
    shutil.rmtree(root, ignore_errors=True)


def listed(layout: Layout) -> List[Dict[str, Any]]:
    """The runs that are here: {"id", "lives", "ended"}; `ended` in seconds since the epoch, None before the start."""
    found = []
    for name in sorted(os.listdir(layout.runs)):
        run = RunDirectory(layout.run(name))
        ended = None
        for path in (run.exit, run.started):
            try:
                ended = os.stat(path).st_mtime
                break
            except OSError:
                pass
        found.append({"id": name, "lives": is_locked(run.launcher_lock), "ended": ended})
    return found
