"""How many numbers can be read back from what a system left in a folder: one function a system."""

import glob
import json
import os
import struct

from serve import serve, settings


def toolkit(folder):
    """As the tracker and `run.get_metrics` read it."""
    from toolkit.inscript.spool import read_all

    return len(read_all(os.path.join(folder, "run", "spool")))


def file_line(folder):
    with open(os.path.join(folder, "bare.jsonl")) as file:
        return len([json.loads(line) for line in file if line.endswith("\n")])


def mlflow(folder):
    from mlflow import MlflowClient

    client = MlflowClient("sqlite:///" + os.path.join(folder, "mlflow.db"))
    experiment = client.get_experiment_by_name("benchmark")
    run = client.search_runs([experiment.experiment_id])[0]
    return len(client.get_metric_history(run.info.run_id, "loss"))


def wandb(folder):
    """The records of history in the transaction log that `wandb sync` reads."""
    from wandb.proto import wandb_internal_pb2

    found = 0
    for path in glob.glob(os.path.join(folder, "wandb", "offline-run-*", "*.wandb")):
        with open(path, "rb") as file:
            content = file.read()
        for data in _leveldb_records(content):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            found += record.WhichOneof("record_type") == "history"
    return found


def _leveldb_records(content, block=32768, header=7):
    """The whole records of a LevelDB log: blocks of fragments, each with a checksum, a length and a type."""
    offset, parts = header, []
    while offset + 7 <= len(content):
        if block - offset % block < 7:  # no room for a fragment: the block's tail is empty
            offset += block - offset % block
            continue
        _, length, kind = struct.unpack_from("<IHB", content, offset)
        offset += 7
        if offset + length > len(content) or kind not in (1, 2, 3, 4):
            return
        parts.append(content[offset : offset + length])
        offset += length
        if kind in (1, 4):  # whole, or the last of several
            yield b"".join(parts)
            parts = []


def trackio(folder):
    import sqlite3

    paths = glob.glob(os.path.join(folder, "trackio", "*.db"))
    return sum(sqlite3.connect(path).execute("SELECT COUNT(*) FROM metrics").fetchone()[0] for path in paths)


def tensorboardx(folder):
    """The whole records of an event file; the first is its header."""
    found = 0
    for path in glob.glob(os.path.join(folder, "events", "*tfevents*")):
        with open(path, "rb") as file:
            content = file.read()
        offset = 0
        while offset + 12 <= len(content):
            (length,) = struct.unpack_from("<Q", content, offset)
            offset += 12 + length + 4
            if offset <= len(content):
                found += 1
    return max(0, found - 1)


tensorboard = tensorboardx


serve(lambda folder: globals()[settings()["system"]](folder))
