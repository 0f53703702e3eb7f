"""Seconds to the first line of `ssh HOST python3 SCRIPT`: each time a connection of its own, or one that is kept."""

import subprocess
import time

from serve import serve, settings

SETTINGS = settings()
KEPT = ["-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", f"ControlPath={SETTINGS['folder']}/%C"]


def measure(kept):
    began = time.time()
    options = [*(KEPT if kept else []), "-F", SETTINGS["config"], SETTINGS["host"]]
    command = ["ssh", *options, f"python3 -u {SETTINGS['script']}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout.readline()
        seconds = time.time() - began
    time.sleep(0.1)
    return {"seen": seconds}


try:
    serve(measure)
finally:
    subprocess.run(["ssh", *KEPT, "-F", SETTINGS["config"], "-O", "exit", SETTINGS["host"]], capture_output=True)
