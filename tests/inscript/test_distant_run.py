"""The parent of a run as a script on another machine has it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolkit.inscript import elsewhere
from toolkit.inscript.changes import Changes
from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.files import write_json
from toolkit.inscript.metrics import attributes, properties, tags
from toolkit.inscript.run import Run
from toolkit.inscript.rundir import RUN_DIRECTORY, RunDirectory
from toolkit.inscript.spool import read_all
from toolkit.targets.mirror import BrokenMirror, Mirror


def made(folder: Path, **definition: str) -> RunDirectory:
    run = RunDirectory(str(folder))
    os.makedirs(run.root)
    write_json(run.definition, definition)
    return run


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """The run directory on the other machine, which has nothing of the parent."""
    run = made(tmp_path / "host" / "runs" / "child_1", parent="sweep_1")
    monkeypatch.setenv(RUN_DIRECTORY, run.root)
    monkeypatch.setenv(elsewhere.ELSEWHERE, "the host of 'box'")
    return run


@pytest.fixture
def here(tmp_path: Path) -> Mirror:
    runs = tmp_path / "workspace" / "runs"
    made(runs / "top_1")
    made(runs / "sweep_1", parent="top_1")
    made(runs / "other_1")
    return Mirror(made(runs / "child_1", parent="sweep_1"))


def test_what_is_written_reaches_the_parent_once(there: RunDirectory, here: Mirror, tmp_path: Path) -> None:
    parent = Run(there).parent
    parent.log("score", 1.0)
    parent.tag("by", "child")
    parent.add_properties({"seed": 7})
    parent.display_name = "the best"
    Path(tmp_path, "found.txt").write_text("found")
    parent.upload_file("a/found.txt", str(tmp_path / "found.txt"))
    frames = [*Changes(there).finish(), *Changes(there, here.sizes()).finish()]
    for frame in frames:
        here.apply(frame)
    parent.log("score", 2.0)
    for frame in Changes(there, here.sizes()).finish():
        here.apply(frame)
    reached = RunDirectory(str(tmp_path / "workspace" / "runs" / "sweep_1"))
    records = read_all(reached.spool)
    assert [record["value"] for record in records if record["kind"] == "metric"] == [1.0, 2.0]
    assert tags(records, {}) == {"by": "child"} and properties(records) == {"seed": "7"}
    assert attributes(records)["display_name"] == "the best"
    assert Path(reached.artifacts, "a", "found.txt").read_text() == "found"
    assert not Path(here.run.relatives).exists()


@pytest.mark.parametrize(
    "ask",
    [
        lambda parent: parent.get_metrics(),
        lambda parent: parent.get_tags(),
        lambda parent: parent.properties,
        lambda parent: parent.status,
        lambda parent: parent.get_details(),
        lambda parent: parent.experiment,
        lambda parent: parent.display_name,
        lambda parent: parent.parent,
        lambda parent: parent.child_run(),
        lambda parent: [*parent.get_children()],
        lambda parent: parent.get_file_names(),
        lambda parent: parent.download_file("outputs/model.pt"),
        lambda parent: parent.wait_for_completion(),
        lambda parent: parent.cancel(),
        lambda parent: parent.complete(),
    ],
)
def test_what_it_has_cannot_be_asked_for(there: RunDirectory, ask: Callable[[Any], object]) -> None:
    with pytest.raises(UserErrorException, match=r"sweep_1 is on the machine .* a script on the host of 'box' can log"):
        ask(Run(there).parent)


def test_two_children_may_upload_the_same(here: Mirror, tmp_path: Path) -> None:
    sibling = Mirror(made(tmp_path / "workspace" / "runs" / "child_2", parent="sweep_1"))
    name = "relatives/sweep_1/artifacts/model"
    for at in (0, 4):
        for mirror, text in ((here, "aaaa"), (sibling, "bbbb")):
            mirror.apply({"path": name, "at": at, "of": 8, "text": text})
    model = tmp_path / "workspace" / "runs" / "sweep_1" / "artifacts" / "model"
    assert model.read_text() == "bbbbbbbb" and os.listdir(model.parent) == ["model"]
    here.apply({"path": f"{name}/weights", "at": 0, "of": 1, "text": "x"})  # a file is in its place
    assert model.read_text() == "bbbbbbbb"


def test_the_parent_is_one_object_so_that_steps_count_on(there: RunDirectory) -> None:
    run = Run(there)
    for score in (1.0, 2.0):
        run.parent.log("score", score)
    assert [record["step"] for record in read_all(run.parent._directory.spool)] == [0, 1]


def test_a_logged_child_has_its_own_parent(there: RunDirectory) -> None:
    child = Run(there).child_run("fold")
    assert child.parent.id == "child_1" and child.parent.get_metrics() == {}
    child.complete()


def test_only_ancestors_are_written_to(here: Mirror) -> None:
    here.apply({"path": "relatives/top_1/spool/a.jsonl", "at": 0, "text": "{}\n"})
    for name in (
        "relatives/other_1/spool/a.jsonl",
        "relatives/sweep_1/exit.json",
        "relatives/sweep_1/spool",
        "relatives/sweep_1/work/train.py",
        "relatives/../other_1/spool/a.jsonl",
        "relatives/child_1/spool/a.jsonl",
    ):
        with pytest.raises(BrokenMirror):
            here.apply({"path": name, "at": 0, "text": "x"})
