"""Numbers a second that the tracker, the process that users have, carries from a run directory into MLflow."""

import subprocess
import sys
import time

from serve import serve, settings

from toolkit import Workspace, status
from toolkit.inscript.files import write_json
from toolkit.inscript.spool import Spool

workspace = Workspace.create("benchmark", exist_ok=True)
paths = workspace.paths
tracker = subprocess.Popen(
    [sys.executable, "-m", "toolkit.agent.tracking", str(paths.root)], stdin=subprocess.PIPE, stdout=2
)


def make_run(run_id, count):
    """A run that has ended and of which MLflow has nothing yet."""
    directory = paths.run(run_id)
    (paths.runs / run_id).mkdir()
    write_json(directory.definition, {"id": run_id, "experiment": "drain", "submitted": time.time(), "script": "x.py"})
    spool, names = Spool(directory.spool), settings()["names"]
    for index in range(count):
        spool.metric(names[index % len(names)], 1.0 / (index + 3))
    status.append_event(directory, status.Event(status.COMPLETED))


def measure(count):
    run_id = f"drain_{time.time_ns()}"
    make_run(run_id, count)
    mark = paths.untracked / run_id
    began = time.perf_counter()
    mark.touch()
    tracker.stdin.write(b"\n")
    tracker.stdin.flush()
    while mark.exists():
        if tracker.poll() is not None:
            raise RuntimeError("the tracker ended")
        time.sleep(0.002)
    return count / (time.perf_counter() - began)


try:
    measure(1000)  # imports MLflow, makes the database
    serve(measure)
finally:
    tracker.stdin.close()
    tracker.wait()
