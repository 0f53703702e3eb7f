"""Seconds to the first line of the script by torchx's local_cwd scheduler: its function, or its command."""

import subprocess
import sys
import time
from pathlib import Path

from serve import serve, settings
from torchx.runner import get_runner

runner = get_runner()
COMPONENT, ROLE = "utils.sh", "sh"  # the quicker of its two ways to run a script: utils.python starts one more Python


def measure(way):
    began = time.time()
    command = ["python", settings()["script"]]
    if way == "command":
        torchx = str(Path(sys.executable).parent / "torchx")
        words = [torchx, "run", "--scheduler", "local_cwd", COMPONENT, *command]
        said = subprocess.run(words, check=True, capture_output=True, text=True).stderr
        return {"seconds": float(said.split("sh/0 ")[1].split()[0]) - began}
    handle = runner.run_component(COMPONENT, command, scheduler="local_cwd", cfg={"log_dir": "logs"})
    runner.wait(handle, wait_interval=0.02)
    return {"seconds": float(next(iter(runner.log_lines(handle, ROLE, 0)))) - began}


serve(measure)
