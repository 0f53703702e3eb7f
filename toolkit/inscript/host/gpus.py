"""The GPUs of this host, each leased to one run at a time: first come, first served, whoever's agent asks.

The folders and files are those of `toolkit.agent.leases`, in the same place, so a toolkit that runs on the host itself
and all that reach it as the same user share them. A lease counts while its run has not ended.
"""

import fcntl
import os
import subprocess
import time
from typing import Any, Dict, List, Optional, Sequence

from toolkit.inscript.files import is_locked, read_json, write_json
from toolkit.inscript.host.layout import WAITER, default_folder
from toolkit.inscript.rundir import RunDirectory

ASK_SECONDS = 20.0
STARTING_SECONDS = 600.0  # a run that has a lease and was not started by then never will be
WAITING_SECONDS = 60.0  # whoever waits asks every second or so: a run that has not for so long was cancelled
_cached: List["Gpu"] = []


class Gpu:
    """A GPU: its UUID, and its number in the order of the PCI bus."""

    def __init__(self, uuid: str, index: str) -> None:
        self.uuid = uuid
        self.index = index


def there() -> List[Gpu]:
    """The GPUs that `nvidia-smi` lists; [] without it. Asked once a process."""
    if not _cached:
        try:
            said = subprocess.check_output(
                ["nvidia-smi", "--query-gpu=uuid,index", "--format=csv,noheader"],
                stderr=subprocess.DEVNULL,
                timeout=ASK_SECONDS,
            )
        except (OSError, subprocess.SubprocessError):
            return []
        rows = [line.split(",") for line in said.decode("utf-8", "replace").splitlines()]
        _cached[:] = [Gpu(row[0].strip(), row[1].strip()) for row in rows if len(row) == 2]  # two may ask at once
    return _cached


def take(run: RunDirectory, order: Sequence[float], count: int, waiter: str) -> Optional[List[Gpu]]:
    """`count` GPUs for a run, or None while it has to wait.

    Args:
        order: of those that wait, the smallest goes first.
        waiter: a file that is locked as long as somebody waits for this run.
    """
    folder = os.path.join(default_folder(None), "gpu-leases")
    for name in ("held", "waiting"):
        os.makedirs(os.path.join(folder, name), 0o700, exist_ok=True)
    descriptor = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return _take(folder, run, [float(part) for part in order], count, waiter)
    finally:
        os.close(descriptor)


def _take(folder: str, run: RunDirectory, order: List[float], count: int, waiter: str) -> Optional[List[Gpu]]:
    ticket = os.path.join(folder, "waiting", run.id + ".json")
    holders = {gpu.uuid: _holder(folder, gpu) for gpu in there()}
    mine = [gpu for gpu in there() if holders[gpu.uuid] == run.root]
    if len(mine) < count:
        free = [gpu for gpu in there() if holders[gpu.uuid] in (None, run.root)]
        before = [wait for wait in _waits(folder) if [wait["order"], wait["run"]] < [order, run.root]]
        if before or len(free) < count:
            write_json(ticket, {"run": run.root, "order": order, "agent": waiter})
            return None
        mine = free[:count]
        for gpu in mine:
            write_json(_lease(folder, gpu), {"run": run.root})
    if os.path.exists(ticket):
        os.unlink(ticket)
    return mine[:count]


def _lease(folder: str, gpu: Gpu) -> str:
    return os.path.join(folder, "held", gpu.uuid.replace("/", "_") + ".json")


def _holder(folder: str, gpu: Gpu) -> Optional[str]:
    path = _lease(folder, gpu)
    lease: Dict[str, Any] = read_json(path, {})
    if lease and _goes_on(RunDirectory(str(lease["run"])), os.stat(path).st_mtime):
        return str(lease["run"])
    return None


def _goes_on(run: RunDirectory, since: float) -> bool:
    """Whether a run that has a lease has not ended: by its folder, and by its launcher's lock once that was there."""
    if not os.path.exists(run.definition) or os.path.exists(run.exit):
        return False
    if os.path.exists(run.started):
        return is_locked(run.launcher_lock)
    return time.time() - since < STARTING_SECONDS


def _is_waited_for(wait: Dict[str, Any], asked: float) -> bool:
    run = RunDirectory(str(wait["run"]))
    if os.path.exists(run.exit) or not os.path.exists(run.definition) or not is_locked(str(wait["agent"])):
        return False
    by_connection = os.path.basename(str(wait["agent"])).startswith(WAITER)  # nobody tells us that it was cancelled
    return not by_connection or time.time() - asked < WAITING_SECONDS


def _waits(folder: str) -> List[Dict[str, Any]]:
    """Who waits; those that nobody waits for any more are forgotten."""
    found = []
    for name in sorted(os.listdir(os.path.join(folder, "waiting"))):
        path = os.path.join(folder, "waiting", name)
        wait: Dict[str, Any] = read_json(path, {})
        if wait and _is_waited_for(wait, os.stat(path).st_mtime):
            found.append(wait)
        elif wait:
            os.unlink(path)
    return found
