"""Seconds from starting `python script.py` to the first line of the script."""

import subprocess
import time

from serve import serve, settings


def measure(python):
    began = time.time()
    done = subprocess.run([python, settings()["script"]], stdout=subprocess.PIPE, check=True)
    return {"seconds": float(done.stdout) - began}


serve(measure)
