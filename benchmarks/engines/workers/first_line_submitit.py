"""Seconds to the first line of a function by submitit's Slurm executor, and the state that it tells of the job then."""

import time
import warnings

import submitit
from serve import serve

executor = submitit.AutoExecutor(folder="jobs", cluster="slurm")
executor.update_parameters(timeout_min=5, cpus_per_task=1)


def first_line():
    import time

    return time.time()


def measure(number):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        began = time.time()
        job = executor.submit(first_line)
        return {"written": job.result() - began, "state": job.state, "job": job.job_id}


serve(measure)
