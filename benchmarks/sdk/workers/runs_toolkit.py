"""Seconds that questions about many runs take in a control script: runs that have ended, and that MLflow has."""

import itertools
import json
import os
import time

from serve import serve, settings

from toolkit import Experiment, Workspace, catalog
from toolkit.inscript.files import append_line, write_json
from toolkit.inscript.spool import Spool

workspace = Workspace.create("benchmark", exist_ok=True)
paths, began = workspace.paths, int(time.time()) - settings()["runs"]


def make_run(experiment, number, parent=None):
    run_id = f"{experiment}_{began + number}_{number:08x}"
    directory = paths.run(run_id)
    os.makedirs(directory.root)
    definition = {
        "id": run_id,
        "experiment": experiment,
        "number": number,
        "submitted": began + number,
        "parent": parent,
    }
    definition.update(type="azureml.scriptrun", tags={"fold": str(number % 100)}, target="local", script="train.py")
    write_json(directory.definition, definition)
    append_line(directory.events, json.dumps({"status": "Completed", "time": began + number}))
    spool = Spool(directory.spool)
    for index in range(settings()["metrics"]):
        spool.metric(f"metric_{index}", number + index / 10)
    os.close(spool._descriptor)
    write_json(directory.tracking, {"done": True})
    if parent:
        append_line(paths.run(parent).submitted_children, run_id)
    return run_id


def make_experiment(name, count, parent=None):
    """Runs as they come into being, and as the tracker leaves them: in the experiment's index and in the catalogue."""
    made = [make_run(name, number, parent) for number in range(count)]
    index = paths.experiment_runs(name)
    index.parent.mkdir(parents=True, exist_ok=True)
    index.write_text("".join(f"{run_id}\n" for run_id in ([parent] if parent else []) + made))
    catalog.metrics_of(paths, made)


make_experiment("many", settings()["runs"])
sweep = make_run("sweep_parent", 0)
make_experiment("sweep", settings()["children"], sweep)
many, parent = Experiment(workspace, "many"), workspace.get_run(sweep)


def page(tags):
    found = list(itertools.islice(many.get_runs(tags=tags), settings()["page"]))
    assert len(found) == settings()["page"]


def metrics():
    found = parent.get_metrics(recursive=True)
    assert len(found) == settings()["children"] + 1
    assert all(len(one) == settings()["metrics"] for one in found.values())


def measure(what):
    began = time.perf_counter()
    if what == "metrics":
        metrics()
    else:
        page({"fold": "7"} if what == "tagged" else None)
    return time.perf_counter() - began


serve(measure)
