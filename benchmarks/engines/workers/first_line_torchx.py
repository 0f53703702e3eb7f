"""Seconds to the first line of a script by torchx's Slurm scheduler, and the state that it tells of the job then."""

import subprocess
import sys
import time
from pathlib import Path

from serve import serve, settings
from torchx.runner import get_runner
from torchx.specs import AppDef, Resource, Role

SETTINGS = settings()
runner = get_runner()


def measure(number):
    output = Path(f"out-{number}").resolve()
    command = [f"exec {sys.executable} -u {SETTINGS['script']} > {output}"]
    resource = Resource(cpu=1, gpu=0, memMB=100)
    role = Role(name="work", image=str(Path.cwd()), entrypoint="/bin/sh", args=["-c", *command], resource=resource)
    began = time.time()
    handle = runner.run(AppDef(name="work", roles=[role]), "slurm", {"partition": "main"})
    deadline = time.time() + 30
    while not (output.exists() and output.stat().st_size):
        if time.time() > deadline:
            raise TimeoutError("no line within 30 s")
        time.sleep(0.002)
    written = float(output.read_text()) - began
    job = handle.rpartition("/")[2]
    while subprocess.run(["squeue", "--noheader", "--jobs", job], capture_output=True).stdout:
        time.sleep(0.05)  # until it is over
    try:
        status = runner.status(handle)
        state = status.state.name if status else "none"
    except Exception as error:
        state = f"{type(error).__name__}: {error}"
    return {"written": written, "state": state, "job": job}


serve(measure)
