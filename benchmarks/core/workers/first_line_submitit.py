"""Seconds to the first line of a function by submitit's local executor: in this process, or in a new one."""

import subprocess
import sys
import time

import submitit
from serve import serve

executor = submitit.AutoExecutor(folder="jobs", cluster="local")
executor.update_parameters(timeout_min=5)
CONTROL = """
import submitit
def first_line():
    import time
    return time.time()
executor = submitit.AutoExecutor(folder="jobs", cluster="local")
executor.update_parameters(timeout_min=5)
print(executor.submit(first_line).result())
"""


def first_line():
    import time

    return time.time()


def measure(way):
    began = time.time()
    if way == "command":
        said = subprocess.run([sys.executable, "-c", CONTROL], check=True, capture_output=True, text=True).stdout
        return {"seconds": float(said) - began}
    return {"seconds": executor.submit(first_line).result() - began}


serve(measure)
