"""Seconds from `mlflow run --env-manager virtualenv` until the project's script has imported torch."""

import shutil
import subprocess
import time
from pathlib import Path

from serve import serve, settings

SETTINGS = settings()
OUTPUT = Path(SETTINGS["output"])


def measure():
    shutil.rmtree(SETTINGS["environments"], ignore_errors=True)
    OUTPUT.unlink(missing_ok=True)
    began = time.time()
    command = ["mlflow", "run", "--env-manager", "virtualenv", SETTINGS["project"]]
    subprocess.run(command, check=True, stdout=2)
    seconds = float(OUTPUT.read_text()) - began
    shutil.rmtree(SETTINGS["environments"], ignore_errors=True)
    return {"seconds": seconds}


serve(measure)
