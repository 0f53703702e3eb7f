"""The catalogue gives what the run directories say, whatever state its file is in."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.test_tracking import whole
from tests.conftest import Submit
from toolkit import Workspace
from toolkit.catalog import find_runs, keep, metrics_of
from toolkit.inscript.files import append_line, write_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.spool import Spool
from toolkit.paths import WorkspacePaths
from toolkit.run_facts import RunFacts, Wanted

NUMBER = 0


def make_run(
    paths: WorkspacePaths, experiment: str = "fit", run_id: str = "", status: str = "Completed", **definition: Any
) -> RunDirectory:
    """A run directory as one that has ended and that MLflow has: without any process."""
    global NUMBER
    NUMBER += 1
    run_id = run_id or f"{experiment}_{1600000000 + NUMBER}_{NUMBER:08x}"
    directory = paths.run(run_id)
    os.makedirs(directory.root)
    whole = {"id": run_id, "experiment": experiment, "type": "azureml.scriptrun", "submitted": 1.0, **definition}
    write_json(directory.definition, whole)
    append_line(directory.events, json.dumps({"status": status, "time": 1.0}))
    index = paths.experiment_runs(experiment)
    index.parent.mkdir(parents=True, exist_ok=True)
    append_line(str(index), run_id)
    settle(directory)
    return directory


def settle(directory: RunDirectory) -> None:
    """As the tracker says that MLflow has all of the run; the time of the file is always another one."""
    write_json(directory.tracking, {"mlflow_run_id": "m", "done": True, "at": time.time_ns()})


@pytest.fixture
def paths(tmp_path: Path) -> WorkspacePaths:
    root = tmp_path / "workspace"
    root.mkdir()
    return WorkspacePaths(root)


def ids(found: Iterator[str]) -> list[str]:
    return list(found)


def rows(paths: WorkspacePaths) -> set[str]:
    """The runs that the file has."""
    connection = sqlite3.connect(paths.catalog)
    try:
        return {run_id for (run_id,) in connection.execute("SELECT id FROM runs")}
    finally:
        connection.close()


def test_filters_are_those_of_v1(paths: WorkspacePaths) -> None:
    first = make_run(paths, tags={"kind": "x", "odd 'key\"": "1"}, properties={"p": "1"}).id
    second = make_run(paths, tags={"kind": "y"}, status="Failed").id
    third = make_run(paths, type="hyperdrive", tags={"kind": "x", "number": "3"}).id
    child = make_run(paths, tags={"kind": "x"}, parent=third).id
    other = make_run(paths, "other", tags={"kind": "x"}).id
    for _ in range(2):  # read from the folders, then from the file
        assert ids(find_runs(paths, "fit")) == [third, second, first]
        assert ids(find_runs(paths, "fit", newest_first=False)) == [first, second, third]
        assert ids(find_runs(paths, "fit", include_children=True)) == [child, third, second, first]
        assert ids(find_runs(paths, "fit", tags="kind")) == [third, second, first]
        assert ids(find_runs(paths, "fit", tags={"kind": "x"})) == [third, first]
        assert ids(find_runs(paths, "fit", tags={"kind": "x", "number": 3})) == [third]
        assert ids(find_runs(paths, "fit", tags={"kind": None, "number": None})) == [third]
        assert ids(find_runs(paths, "fit", tags="odd 'key\"")) == [first]
        assert ids(find_runs(paths, "fit", properties={"p": "1"})) == [first]
        assert ids(find_runs(paths, "fit", type="hyperdrive")) == [third]
        assert ids(find_runs(paths, "fit", status="Failed")) == [second]
        assert ids(find_runs(paths, "other", tags={"kind": "x"})) == [other]
        assert ids(find_runs(paths, "absent", tags="kind")) == []
    assert rows(paths) == {first, second, third, child, other}


def test_children(paths: WorkspacePaths) -> None:
    parent = make_run(paths)
    submitted = make_run(paths, parent=parent.id, tags={"a": "1"})
    append_line(parent.submitted_children, submitted.id)
    logged = make_run(paths, run_id=f"{parent.id}.c1", parent=parent.id, tags={"a": "2"})
    grandchild = make_run(paths, run_id=f"{logged.id}.c2", parent=logged.id)
    assert ids(find_runs(paths, parent=parent.id)) == [logged.id, submitted.id]
    assert ids(find_runs(paths, parent=parent.id, include_children=True)) == [grandchild.id, logged.id, submitted.id]
    assert ids(find_runs(paths, parent=parent.id, tags={"a": "1"})) == [submitted.id]
    assert ids(find_runs(paths, parent=grandchild.id)) == []


def test_rows_are_read_and_go_out_of_date(paths: WorkspacePaths) -> None:
    """A row holds as long as nothing was written down of the run since."""
    run = make_run(paths, tags={"kind": "x"})
    spool = Spool(run.spool)
    spool.metric("loss", 1.0)
    settle(run)
    assert metrics_of(paths, [run.id]) == {run.id: {"loss": 1.0}}
    connection = sqlite3.connect(paths.catalog)
    with connection:
        connection.execute("UPDATE metrics SET metrics = '{\"loss\": 2.0}'")
        connection.execute('UPDATE runs SET tags = \'{"kind": "y"}\'')
    connection.close()
    assert metrics_of(paths, [run.id]) == {run.id: {"loss": 2.0}}
    assert ids(find_runs(paths, "fit", tags={"kind": "y"})) == [run.id]
    settle(run)
    assert metrics_of(paths, [run.id]) == {run.id: {"loss": 1.0}}
    assert ids(find_runs(paths, "fit", tags={"kind": "y"})) == []


@pytest.mark.parametrize("mark", ["active", "untracked"])
def test_runs_that_go_on_are_read_from_their_folders(paths: WorkspacePaths, mark: str) -> None:
    run = make_run(paths, status="Running")
    (paths.root / mark).mkdir()
    (paths.root / mark / run.id).touch()
    spool = Spool(run.spool)
    for number in range(3):
        spool.metric("loss", float(number))
        spool.record("tag", name="at", value=str(number))
        assert metrics_of(paths, [run.id]) == {run.id: {"loss": [0.0, 1.0, 2.0][: number + 1] if number else 0.0}}
        assert ids(find_runs(paths, "fit", tags={"at": str(number)}, status="Running")) == [run.id]
    assert not paths.catalog.exists() or rows(paths) == set()


def test_metrics_keep_their_shapes(paths: WorkspacePaths) -> None:
    run = make_run(paths)
    spool = Spool(run.spool)
    spool.metric("loss", float("nan"))
    spool.metric("flag", True)
    spool.metric("big", 2**70)
    spool.metric("text", "ä\ud800")
    spool.series("list", "one", [1], 1)
    spool.series("table", "t", {"x": [1, None], "y": ["a", "b"]}, 2)
    settle(run)
    first = metrics_of(paths, [run.id])[run.id]
    second = metrics_of(paths, [run.id])[run.id]
    assert repr(first) == repr(second)
    assert rows(paths) == {run.id} and second["one"] == [1] and second["big"] == 2**70


def test_metrics_that_are_large_are_not_kept_twice(paths: WorkspacePaths) -> None:
    run = make_run(paths)
    Spool(run.spool).series("list", "long", list(range(300_000)), 300_000)
    settle(run)
    for _ in range(2):
        assert len(metrics_of(paths, [run.id])[run.id]["long"]) == 300_000
    assert paths.catalog.stat().st_size < 1_000_000


def test_random_filters_say_the_same_with_and_without_the_file(paths: WorkspacePaths) -> None:
    random.seed(0)
    made = []
    for _ in range(250):  # more than one page
        tags = {key: random.choice("xyz") for key in random.sample("abc", random.randrange(4))}
        kind = random.choice(["azureml.scriptrun", "hyperdrive", None])
        parent = random.choice([None, None, "p"])
        status = random.choice(["Completed", "Failed"])
        made.append(make_run(paths, status=status, tags=tags, type=kind, parent=parent).id)
    facts = {run_id: RunFacts.read(paths.run(run_id)) for run_id in made}
    for _ in range(60):
        tags = {key: random.choice(["x", None]) for key in random.sample("abc", random.randrange(1, 3))}
        asked: dict[str, Any] = {"tags": tags, "type": random.choice([None, "hyperdrive"])}
        asked["status"] = random.choice([None, "Failed"])
        children = random.random() < 0.5
        expected = [
            run_id
            for run_id in reversed(made)
            if (one := facts[run_id]) and Wanted(**asked, children=children).fits(one)
        ]
        assert ids(find_runs(paths, "fit", include_children=children, **asked)) == expected


def _break_whole(paths: WorkspacePaths) -> None:
    paths.catalog.write_bytes(b"this is no database" * 1000)


def _break_middle(paths: WorkspacePaths) -> None:
    content = bytearray(paths.catalog.read_bytes())
    content[100:] = os.urandom(len(content) - 100)
    paths.catalog.write_bytes(content)


def _cut(paths: WorkspacePaths) -> None:
    paths.catalog.write_bytes(paths.catalog.read_bytes()[:5000])


def _empty(paths: WorkspacePaths) -> None:
    paths.catalog.write_bytes(b"")


def _of_another_version(paths: WorkspacePaths) -> None:
    connection = sqlite3.connect(paths.catalog)
    connection.execute("DROP TABLE metrics")
    connection.execute("ALTER TABLE runs ADD COLUMN more TEXT")
    connection.execute("PRAGMA user_version=99")
    connection.commit()
    connection.close()


def _without_a_table(paths: WorkspacePaths) -> None:
    connection = sqlite3.connect(paths.catalog)
    connection.execute("DROP TABLE metrics")
    connection.commit()
    connection.close()


def _remove(paths: WorkspacePaths) -> None:
    paths.catalog.unlink()


@pytest.mark.parametrize(
    "damage", [_break_whole, _break_middle, _cut, _empty, _of_another_version, _without_a_table, _remove]
)
def test_damaged_file_is_made_anew(paths: WorkspacePaths, damage: Any) -> None:
    runs = [make_run(paths, tags={"number": str(number)}) for number in range(150)]
    for run in runs:
        Spool(run.spool).metric("loss", 1.0)
        settle(run)
    wanted = [run.id for run in runs]
    assert [*metrics_of(paths, wanted)] == wanted
    damage(paths)
    assert metrics_of(paths, wanted) == {run_id: {"loss": 1.0} for run_id in wanted}
    assert ids(find_runs(paths, "fit", tags={"number": "7"})) == [runs[7].id]
    assert rows(paths) == set(wanted)


def test_disk_that_cannot_be_written_is_no_matter(paths: WorkspacePaths) -> None:
    run = make_run(paths, tags={"a": "b"})
    paths.catalog.mkdir()  # sqlite cannot open it: as on a disk that is read-only, also for root
    assert metrics_of(paths, [run.id]) == {run.id: {}}
    assert ids(find_runs(paths, "fit", tags="a")) == [run.id]
    keep(paths, run.id)


def test_file_that_somebody_holds_is_waited_for_and_then_left_alone(
    paths: WorkspacePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.catalog.BUSY_SECONDS", 0.1)
    run = make_run(paths, tags={"a": "b"})
    assert ids(find_runs(paths, "fit", tags="a")) == [run.id]
    holder = sqlite3.connect(paths.catalog, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    other = make_run(paths, tags={"a": "c"})
    assert ids(find_runs(paths, "fit", tags="a")) == [other.id, run.id]
    holder.execute("ROLLBACK")
    holder.close()
    assert rows(paths) == {run.id}


def test_run_whose_submit_was_ended_in_the_middle_is_none(paths: WorkspacePaths) -> None:
    run = make_run(paths, tags={"a": "b"})
    append_line(str(paths.experiment_runs("fit")), "fit_1600000099_0000beef")
    assert ids(find_runs(paths, "fit")) == ids(find_runs(paths, "fit", tags="a")) == [run.id]
    assert metrics_of(paths, ["fit_1600000099_0000beef", run.id]) == {run.id: {}}


def test_tracker_puts_a_run_there_when_it_has_ended(submit: Submit, workspace: Workspace) -> None:
    run = submit("from toolkit import Run; Run.get_context().log('loss', 0.5); Run.get_context().tag('a', 'b')")
    run.wait_for_completion()
    whole(run)
    assert rows(workspace.paths) == {run.id}
    assert metrics_of(workspace.paths, [run.id]) == {run.id: {"loss": 0.5}}
    assert ids(find_runs(workspace.paths, "tests", tags={"a": "b"}, status="Completed")) == [run.id]
    run.tag("late", "c")
    assert ids(find_runs(workspace.paths, "tests", tags="late")) == [run.id]
    whole(run)
    assert ids(find_runs(workspace.paths, "tests", tags={"late": "c", "a": "b"})) == [run.id]
