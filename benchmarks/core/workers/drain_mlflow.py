"""Numbers a second that `MlflowClient.log_batch` takes, 1,000 a call, into a sqlite store."""

import sqlite3
import time
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric
from serve import serve, settings

database = Path("mlflow.db").absolute()
connection = sqlite3.connect(database)
connection.execute("PRAGMA journal_mode=WAL")  # as the toolkit's own store has it
connection.close()
client = MlflowClient(f"sqlite:///{database}")
experiment = client.create_experiment("drain", artifact_location=str(database.parent / "artifacts"))


def measure(count):
    names = settings()["names"]
    numbers = [
        (names[index % len(names)], 1.0 / (index + 3), int(time.time() * 1000), index // len(names))
        for index in range(count)
    ]
    began = time.perf_counter()
    run = client.create_run(experiment)
    for start in range(0, count, 1000):
        client.log_batch(run.info.run_id, metrics=[Metric(*one) for one in numbers[start : start + 1000]])
    client.set_terminated(run.info.run_id)
    return count / (time.perf_counter() - began)


measure(1000)
serve(measure)
