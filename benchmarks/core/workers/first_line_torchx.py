"""Seconds from `run_component` of torchx's local_cwd scheduler to the first line of the script."""

import time

from serve import serve, settings
from torchx.runner import get_runner

runner = get_runner()
COMPONENT, ROLE = "utils.sh", "sh"  # the quicker of its two ways to run a script: utils.python starts one more Python


def measure():
    began = time.time()
    command = ["python", settings()["script"]]
    handle = runner.run_component(COMPONENT, command, scheduler="local_cwd", cfg={"log_dir": "logs"})
    runner.wait(handle, wait_interval=0.02)
    return {"seconds": float(next(iter(runner.log_lines(handle, ROLE, 0)))) - began}


serve(measure)
