"""Seconds to the first line of a script by Ray's own job client, as it arrives here through the job's log."""

import asyncio
import sys
import time

from ray.job_submission import JobSubmissionClient
from serve import serve, settings

SETTINGS = settings()
client = JobSubmissionClient(SETTINGS["address"])


async def first(job):
    async for lines in client.tail_job_logs(job):
        if lines.strip():
            return


def measure():
    began = time.time()
    job = client.submit_job(
        entrypoint=f"{sys.executable} -u first.py",
        runtime_env={"working_dir": SETTINGS["source"]},
        entrypoint_num_cpus=1,
    )
    asyncio.run(first(job))
    seconds = time.time() - began
    while not client.get_job_status(job).is_terminal():
        time.sleep(0.05)
    return {"seen": seconds}


serve(measure)
