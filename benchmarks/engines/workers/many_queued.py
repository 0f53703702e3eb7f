"""Submits thousands of runs to an engine that is only played, and measures what carries them."""

import json
import os
import statistics
import subprocess
import sys
import time

import psutil
from serve import serve, settings

from toolkit import Experiment, ScriptRunConfig, Workspace, submit
from toolkit.agent import wake
from toolkit.configuration import TEMPLATE

SETTINGS = settings()
workspace = Workspace.create("benchmark", exist_ok=True)
AT_ONCE = SETTINGS["running"]
TARGET = f"  cluster: {{type: simulated, max_concurrent_runs: {AT_ONCE}}}\n"
workspace.paths.configuration.write_text(TEMPLATE + TARGET)
experiment = Experiment(workspace, "queue")
config = ScriptRunConfig(source_directory=SETTINGS["source"], script="train.py", compute_target="cluster")
CALLS = workspace.paths.agent / "calls.jsonl"


def measure(what):
    return {"fill": fill, "listing": listing, "page": page, "react": react, "end": end}[what]()


def fill():
    """Submit, and wait until as many run as may. Its memory and its calls to the engine."""
    definition, diff = submit.freeze(experiment, config, {})
    began = time.monotonic()
    for _ in range(SETTINGS["runs"]):
        one = {**definition, "id": submit.new_id(experiment), "submitted": time.time()}
        submit.start(experiment, one, diff)
    submitting = time.monotonic() - began
    _wait_for(lambda: sum(call["call"] == "launch" for call in _calls()) >= AT_ONCE)
    _wait_for(lambda: any(call["call"] == "poll" and call["runs"] >= AT_ONCE for call in _calls()))
    time.sleep(5)
    polls = [call for call in _calls() if call["call"] == "poll"]
    return {
        "agent": _agent().memory_info().rss,
        "seconds_a_submit": submitting / SETTINGS["runs"],
        "runs_a_poll": polls[-1]["runs"],
        "calls": len(polls[-10:]) * AT_ONCE / sum(call["runs"] for call in polls[-10:]),
        "round": statistics.median(after["time"] - before["time"] for before, after in zip(polls[-11:], polls[-10:])),
    }


def listing():
    """`toolkit runs`, the newest twenty of all."""
    began = time.monotonic()
    command = [sys.executable, "-m", "toolkit", "runs", "-w", "benchmark", "--json"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert len(rows) == 20
    return time.monotonic() - began


def page():
    """`experiment.get_runs()`, the first hundred."""
    began = time.monotonic()
    runs = experiment.get_runs()
    assert len([next(runs) for _ in range(100)]) == 100
    return time.monotonic() - began


def react():
    """From `cancel()` of a run to its end, and the next in the queue given to the engine."""
    launched = [call for call in _calls() if call["call"] == "launch"]
    active = (workspace.get_run(name) for name in sorted(os.listdir(workspace.paths.active)))
    run = next(run for run in active if run.get_status() == "Running")
    began = time.monotonic()
    run.cancel()
    _wait_for(lambda: run.get_status() in ("Finalizing", "Canceled"))
    _wait_for(lambda: sum(call["call"] == "launch" for call in _calls()) > len(launched))
    return time.monotonic() - began


def end():
    """Leave the runs as they are and end the processes."""
    wake.stop(workspace.paths)
    return True


def _calls():
    try:
        return [json.loads(line) for line in CALLS.read_text().splitlines() if line.endswith("}")]
    except FileNotFoundError:
        return []


def _agent():
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if str(workspace.paths.root) in command and "toolkit.agent" in command:
            return process
    raise RuntimeError("there is no agent")


def _wait_for(condition, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.02)


try:
    serve(measure)
finally:
    wake.stop(workspace.paths)
