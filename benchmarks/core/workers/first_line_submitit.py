"""Seconds from `executor.submit` of submitit's local executor to the first line of the function."""

import time

import submitit
from serve import serve

executor = submitit.AutoExecutor(folder="jobs", cluster="local")
executor.update_parameters(timeout_min=5)


def first_line():
    import time

    return time.time()


def measure():
    began = time.time()
    job = executor.submit(first_line)
    return {"seconds": job.result() - began}


serve(measure)
