"""Seconds that the same questions take with MLflow's client: its store in this process, or through a server."""

import sqlite3
import time

from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag
from serve import serve, settings

client = MlflowClient(settings()["uri"])


def make_experiment(name, count):
    """An experiment with `count` runs. The first is logged; the others are its rows again, which is much quicker."""
    experiment = client.create_experiment(name)
    first = client.create_run(experiment).info.run_id
    metrics = [Metric(f"metric_{index}", index / 10, 0, 0) for index in range(settings()["metrics"])]
    client.log_batch(first, metrics=metrics, tags=[RunTag("fold", "0")])
    client.set_terminated(first)
    database = sqlite3.connect(settings()["uri"].removeprefix("sqlite:///"))
    with database:
        for number in range(1, count):
            copied = f"{name}{number:0{32 - len(name)}x}"
            changed = {"run_uuid": copied, "name": copied, "start_time": number}
            _copy(database, "runs", first, changed)
            for table in ("tags", "metrics", "latest_metrics"):
                _copy(database, table, first, {"run_uuid": copied})
            database.execute("UPDATE tags SET value = ? WHERE run_uuid = ? AND key = 'fold'", [number % 100, copied])
    database.close()
    return experiment


def _copy(database, table, run_id, changed):
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    taken = ", ".join("?" if column in changed else column for column in columns)
    values = [changed[column] for column in columns if column in changed]
    database.execute(f"INSERT INTO {table} SELECT {taken} FROM {table} WHERE run_uuid = ?", [*values, run_id])


def experiment(name, count):
    found = client.get_experiment_by_name(name)
    return found.experiment_id if found else make_experiment(name, count)


many = experiment("many", settings()["runs"])
sweep = [run.info.run_id for run in client.search_runs([experiment("sweep", settings()["children"])], max_results=1000)]


def page(wanted):
    found = client.search_runs([many], wanted, max_results=settings()["page"])
    assert len(found) == settings()["page"]


def metrics():
    found = {run_id: client.get_run(run_id).data.metrics for run_id in sweep}
    assert len(found) == settings()["children"]
    assert all(len(one) == settings()["metrics"] for one in found.values())


def measure(what):
    began = time.perf_counter()
    if what == "metrics":
        metrics()
    else:
        page("tags.fold = '7'" if what == "tagged" else "")
    return time.perf_counter() - began


serve(measure)
