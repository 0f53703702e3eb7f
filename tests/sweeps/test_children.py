"""What the controller of a sweep reads of its children."""

from __future__ import annotations

import json
from pathlib import Path

from toolkit.agent.mlflow_calls import SPOOL_FILE
from toolkit.inscript.files import write_json, write_text
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.spool import Spool
from toolkit.status import RUNNING, Event, append_event
from toolkit.sweeps.children import Child


def test_the_primary_metric_by_mlflow_itself_is_read_whole_each_time(tmp_path: Path) -> None:
    directory = RunDirectory(str(tmp_path / "sweep_0"))
    (tmp_path / "sweep_0").mkdir()
    write_json(directory.definition, {"hyperparameters": {"--lr": 0.1}})
    append_event(directory, Event(RUNNING))
    Spool(directory.spool).metric("loss", 0.5)

    def called(*rows: tuple[str, float]) -> None:
        lines = [json.dumps({"kind": "metric", "name": name, "time": 1.0, "value": value}) for name, value in rows]
        write_text(f"{directory.spool}/{SPOOL_FILE}", "".join(f"{line}\n" for line in lines))

    called(("accuracy", 0.1), ("other", 1), ("other", 2))
    accuracy, loss = Child.of(directory, "accuracy"), Child.of(directory, "loss")
    assert (accuracy.values, accuracy.history, loss.history) == ({"--lr": 0.1}, [0.1], [0.5])
    called(("accuracy", 0.1), ("accuracy", 0.9), ("accuracy", 0.2), ("other", 1), ("other", 2))
    Spool(directory.spool).metric("loss", 0.25)
    accuracy.look()
    loss.look()
    assert (accuracy.history, accuracy.best(maximize=True), loss.history) == ([0.1, 0.9, 0.2], 0.9, [0.5, 0.25])
