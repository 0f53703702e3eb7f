"""Outside a submitted run: what Azure ML SDK v1 printed, and everything kept."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import wait_until
from toolkit import Experiment, Run, RunEnvironmentException, UserErrorException, Workspace
from toolkit.agent import wake
from toolkit.inscript.files import read_json
from toolkit.inscript.offline import OfflineRun
from toolkit.inscript.spool import read_all
from toolkit.paths import home

UUID4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.fixture
def run() -> OfflineRun:
    found = Run.get_context()
    assert isinstance(found, OfflineRun)
    return found


def test_its_id_and_its_place(run: OfflineRun) -> None:
    assert re.fullmatch(f"OfflineRun_{UUID4}", run.id)
    assert Run.get_context() is run, "one a process, so that steps count on"
    assert Path(run._directory.root) == home().offline / run.id
    assert not home().offline.exists(), "nothing on disk before something is logged"


def test_allow_offline_false_raises() -> None:
    with pytest.raises(RunEnvironmentException, match="Could not load a submitted run"):
        Run.get_context(allow_offline=False)


def test_it_prints_what_v1_printed(run: OfflineRun, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b.txt").write_text("b")
    file, folder = str(tmp_path / "a.txt"), str(tmp_path / "folder")
    with run:
        run.log("loss", 0.3)
        run.log("loss", 0.2, step=7)
        run.log_list("curve", [1, 2])
        run.log_row("fit", epoch=1, loss=0.5)
        run.log_table("grid", {"x": [1, 2]})
        run.log_image("plot", path=file)
        run.add_properties({"p": 1})
        run.set_tags({"t": 1})
        run.tag("key", "value")
        run.upload_file("name", file)
        run.upload_folder("names", folder)
        run.upload_files(["one"], [file])
        run.flush()
        run.fail("details", error_code=3)
        run.complete()
        run.cancel()
    printed = capsys.readouterr().out
    assert printed.splitlines() == [
        f"[START] Run {run.id} context",
        *("Attempted to log scalar metric loss:", "0.3"),
        *("Attempted to log scalar metric loss:", "0.2"),
        *("Attempted to log list metric curve:", "[1, 2]"),
        *("Attempted to log row metric fit:", "{'epoch': 1, 'loss': 0.5}"),
        *("Attempted to log table metric grid:", "{'x': [1, 2]}"),
        *("Attempted to log image metric plot:", file),
        "Attempted to add properties {'p': 1}",
        "Attempted to set tags {'t': 1}",
        "Attempted to add tag key with value value",
        f"Attempted to track file name at {file}",
        f"Attempted to track folder names at {folder}",
        f"Attempted to track files ['one'] at ['{file}']",
        f"Attempted to flush run with id {run.id}",
        *(f"Run {run.id} failed with error code 3:", "details"),
        f"[STOP] Run {run.id} context",
    ]


def test_it_keeps_everything(run: OfflineRun) -> None:
    run.log("loss", 0.5)
    run.log("loss", 0.25)
    run.log("final", 0.1, step=3)
    run.log_list("curve", [1, 2])
    run.log_row("fit", epoch=1)
    run.log_table("grid", {"x": [1, 2]})
    run.tag("a", 1)
    run.set_tags({"b": 2})
    run.remove_tags(["a"])
    run.add_properties({"p": 1})
    run.upload_file("model/m.bin", io.BytesIO(b"weights"))
    run.upload_files(["n.bin"], [__file__])
    assert run.get_metrics() == {"loss": [0.5, 0.25], "final": 0.1, "curve": [1, 2], "fit": {"epoch": 1}, "grid": {
        "x": [1, 2]}}  # fmt: skip
    assert run.get_metrics("final") == {"final": 0.1}
    assert run.get_tags() == {"b": "2"} and run.get_properties() == {"p": "1"}
    assert Path(run._directory.artifacts, "model/m.bin").read_bytes() == b"weights"
    assert Path(run._directory.artifacts, "n.bin").is_file()
    definition = read_json(run._directory.definition)
    assert definition["id"] == run.id and definition["working_directory"] == os.getcwd()
    steps = [record["step"] for record in read_all(run._directory.spool) if record["kind"] == "metric"]
    assert steps == [0, 1, 3]


def test_it_has_the_interface_of_a_submitted_run(run: OfflineRun) -> None:
    assert run.experiment.name == "offline" and run.experiment.workspace.name
    assert run.parent is None and run.get_status() == "Running"
    assert {name for name in dir(Run.__mro__[1]) if not name.startswith("_")} <= {*dir(run)}


def test_quiet(run: OfflineRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TOOLKIT_OFFLINE_QUIET", "1")
    with run:
        run.log("loss", 0.3)
        run.tag("a", 1)
        run.flush()
    assert capsys.readouterr().out == ""
    assert run.get_metrics() == {"loss": 0.3}


def test_a_folder_leaves_the_quiet_switch_as_it_was(run: OfflineRun, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    run.upload_folder("names", str(tmp_path))
    assert not os.environ.get("TOOLKIT_OFFLINE_QUIET")


def test_child_runs(run: OfflineRun) -> None:
    child = run.child_run("tune")
    assert child.id == f"{run.id}.tune"
    assert re.fullmatch(re.escape(run.id) + r"\." + UUID4, run.child_run().id)
    child.log("loss", 1.0)
    run.log("loss", 2.0)
    assert (child.get_metrics(), run.get_metrics()) == ({"loss": 1.0}, {"loss": 2.0})
    assert child.parent is not None and child.parent.id == run.id
    assert [kept.id for kept in run.get_children()] == [child.id]  # the other one logged nothing
    assert [path.name for path in home().offline.iterdir()] == [run.id]


def test_a_script_that_is_run_by_hand(tmp_path: Path, toolkit_home: Path) -> None:
    script = "from toolkit import Run\nrun = Run.get_context()\nrun.log('loss', 0.3)\nprint(run.id)\n"
    (tmp_path / "train.py").write_text(script)
    command = [sys.executable, str(tmp_path / "train.py"), "--lr", "1"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    *printed, run_id = answer.stdout.splitlines()
    assert printed == ["Attempted to log scalar metric loss:", "0.3"] and answer.stderr == ""
    definition = read_json(str(toolkit_home / "offline" / run_id / "run.json"))
    assert definition["arguments"] == ["--lr", "1"]


def test_a_home_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code = "from toolkit import Run; r = Run.get_context(); r.log('loss', 0.3); r.tag('a', 1); r.flush(); print('end')"
    environ = {**os.environ, "TOOLKIT_HOME": str(tmp_path / "file" / "home")}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert answer.stdout.endswith("end\n") and answer.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["get_environment", "restore_snapshot"])
def test_what_needs_a_workspace_says_how_to_get_into_one(run: OfflineRun, name: str) -> None:
    words = rf"run\.{name}\(\) needs a run of a workspace, .* `toolkit import {run.id}`"
    with pytest.raises(UserErrorException, match=words):
        getattr(run, name)()


def test_it_has_no_address_and_says_so(run: OfflineRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.get_portal_url() == ""
    assert f"`toolkit import {run.id}`" in capsys.readouterr().err


def test_children_are_imported_with_it(run: OfflineRun) -> None:
    workspace = Workspace.create("mine")
    run.log("loss", 1.0)
    child = run.child_run("fold 1")
    child.log("accuracy", 0.5)
    imported = Experiment(workspace, "offline").import_offline_run(run.id)
    (kept,) = imported.get_children()
    assert (kept.get_metrics(), kept.get_status()) == ({"accuracy": 0.5}, "Completed")
    assert kept.parent is not None and kept.parent.id == imported.id
    wait_until(lambda: not (workspace.paths.untracked / kept.id).exists())
    wake.stop(workspace.paths)
