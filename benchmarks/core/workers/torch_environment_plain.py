"""Seconds until torch is imported: in an environment that is there, or in a new one made with venv and pip or conda."""

import shutil
import subprocess
import sys
import time

from serve import serve, settings

SETTINGS = settings()


def measure(way, python=None):
    """`there`: in `python` as it is; `pip`: venv, pip install, import; `conda`: conda env create, import."""
    shutil.rmtree("made", ignore_errors=True)
    began = time.time()
    if way == "pip":
        subprocess.run([sys.executable, "-m", "venv", "made"], check=True)
        command = ["made/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(command + SETTINGS["requirements"], check=True, stdout=2)
        python = "made/bin/python"
    elif way == "conda":
        command = [SETTINGS["conda"], "env", "create", "--quiet", "--yes", "--prefix", "made", "--file"]
        subprocess.run([*command, SETTINGS["specification"]], check=True, stdout=2)
        python = "made/bin/python"
    done = subprocess.run([python, SETTINGS["script"]], check=True, stdout=subprocess.PIPE)
    seconds = float(done.stdout.split()[-1]) - began
    shutil.rmtree("made", ignore_errors=True)
    return {"seconds": seconds}


serve(measure)
