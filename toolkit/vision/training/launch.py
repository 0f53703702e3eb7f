"""One command, several processes: a training starts itself under torchrun, one process a GPU of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from toolkit.vision.errors import RemoteError
from toolkit.vision.training.interrupt import told_to_end

_STARTER = "TOOLKIT_VISION_STARTER"  # the process id of who waits for the others
OUTCOME = "TOOLKIT_VISION_OUTCOME"  # the file in which a process that fails says why


def under_torchrun() -> bool:
    """Whether torchrun, or whatever speaks as it does, started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def abandoned() -> bool:
    """Whether `run` started this process and was killed since."""
    if _STARTER not in os.environ:
        return False
    try:
        os.kill(int(os.environ[_STARTER]), 0)
        return False
    except ProcessLookupError:
        return True


def run(words: list[str], count: int) -> None:
    """Run `python -m toolkit.vision WORDS` in `count` processes that train together, and wait for them.

    Raises:
        RemoteError: what one of them raised.
        SystemExit: they were told to end.
    """
    package = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    with tempfile.TemporaryDirectory(prefix="toolkit-outcome-") as folder:
        outcome = Path(folder) / "outcome.json"
        environment = {**os.environ, "PYTHONPATH": path, OUTCOME: str(outcome), _STARTER: str(os.getpid())}
        environment["PYTHONSAFEPATH"] = "1"  # a user's folder may have a random.py
        command = [*torchrun, "-m", "toolkit.vision", *words]
        process = subprocess.Popen(command, env=environment, start_new_session=True)  # Ctrl-C comes through us alone
        with told_to_end(process.terminate) as told:
            code = process.wait()
        if told:
            raise SystemExit(128 + told[0])
        if code:
            facts = json.loads(outcome.read_text(encoding="utf-8")) if outcome.is_file() else {}
            raise RemoteError(facts.get("Exception"), f"the processes of the training ended with {code}")
