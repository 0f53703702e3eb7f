"""`Run` as a script sees it, on a run directory of its own."""

from __future__ import annotations

import io
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy
import pytest

from toolkit.inscript import run as inscript_run
from toolkit.inscript import values
from toolkit.inscript.errors import RunEnvironmentException, UserErrorException
from toolkit.inscript.run import RUN_DIRECTORY, Run
from toolkit.inscript.spool import read_all


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The run around this process, as in a submitted script."""
    root = tmp_path / "runs" / "day1_1600000000_0123abcd"
    root.mkdir(parents=True)
    definition = {"experiment": "day1", "workspace": "mine", "tags": {"given": "at submit"}, "properties": {"p": "1"}}
    (root / "run.json").write_text(json.dumps(definition))
    monkeypatch.setenv(RUN_DIRECTORY, str(root))
    monkeypatch.setattr(values, "_warned", set())
    return Run.get_context()


def records(run: Run, kind: str) -> list[dict[str, Any]]:
    return [record for record in read_all(run._directory.spool) if record["kind"] == kind]


# -- what it is ---------------------------------------------------------------------------------------------------


def test_what_a_run_says_of_itself(run: Run) -> None:
    assert run.id == "day1_1600000000_0123abcd"
    assert run.experiment.name == "day1"
    assert run.parent is None
    assert repr(run) == "Run(id='day1_1600000000_0123abcd')"


def test_the_parent_is_a_run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "runs" / f"{run.id}_1"
    child.mkdir()
    (child / "run.json").write_text(json.dumps({"parent": run.id}))
    monkeypatch.setenv(RUN_DIRECTORY, str(child))
    parent = Run.get_context().parent
    assert parent is not None and parent.id == run.id and parent.experiment.name == "day1"


def test_every_get_context_is_the_same_run_so_that_steps_count_on(run: Run) -> None:
    assert Run.get_context() is run
    run.log("loss", 1.0)
    Run.get_context().log("loss", 1.0)
    assert [record["step"] for record in records(run, "metric")] == [0, 1]


def test_outside_a_run_allow_offline_false_raises() -> None:
    with pytest.raises(RunEnvironmentException, match="Could not load a submitted run, if outside of an execution"):
        Run.get_context(allow_offline=False)


def test_with_a_run(run: Run) -> None:
    with run as inner:
        inner.log("loss", 1.0)
    assert run.get_metrics() == {"loss": 1.0}


# -- metrics ------------------------------------------------------------------------------------------------------


def test_log(run: Run) -> None:
    run.log("loss", 2.5)
    run.log("loss", 1.5, description="of a batch")
    run.log("loss", numpy.float32(0.5), step=100)
    run.log(name="accuracy", value=1)
    assert run.get_metrics() == {"loss": [2.5, 1.5, 0.5], "accuracy": 1}
    assert [record["step"] for record in records(run, "metric")] == [0, 1, 100, 0]
    assert run.get_metrics("accuracy") == {"accuracy": 1}
    assert run.get_metrics("unknown") == {}


def test_nan_and_infinities(run: Run) -> None:
    for value in (math.nan, numpy.float64("inf"), -math.inf):
        run.log("loss", value)
    nan, *infinite = run.get_metrics()["loss"]
    assert math.isnan(nan) and infinite == [math.inf, -math.inf]


@pytest.mark.parametrize("name", [None, 3, ("a", "b"), b"loss"])
def test_a_name_that_is_no_text(name: Any, run: Run) -> None:
    run.log(name, 1.0)
    assert run.get_metrics() == {str(name): 1.0}


@pytest.mark.parametrize(
    "step", ["first", math.nan, math.inf, 2**63, 10**5000, object()], ids=lambda step: type(step).__name__
)
def test_a_step_that_is_no_number_is_counted_instead_and_said(
    step: Any, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run.log("loss", 1.0)
    run.log("loss", 2.0, step=step)
    run.log("loss", 3.0, step=step)
    assert [record["step"] for record in records(run, "metric")] == [0, 1, 2]
    assert capsys.readouterr().err == "toolkit: the step of 'loss' is not a whole number of 64 bits: counted instead\n"


@pytest.mark.parametrize("step", [7, 7.0, "7", numpy.int64(7), numpy.array(7)])
def test_steps_of_every_library(step: Any, run: Run) -> None:
    run.log("loss", 1.0, step=step)
    assert [record["step"] for record in records(run, "metric")] == [7]


def test_wrong_types_never_raise_and_are_said_once(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        run.log("loss", object())
        run.log_list("curve", object())
        run.log_row("row", cell=object())
        run.log_table("table", 3)
        run.log_table("columns", {"a": object()})
        run.log_image("image")
        run.log_image("image", path="a", plot="b")
        run.log_image("missing", path="no-such.png")
        run.log_image("unplottable", plot=object())
        run.log_image("../outside", path=__file__)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len({*lines}), "each once"
    assert {line.split("'")[1] for line in lines} == {
        *("loss", "curve", "row.cell", "table", "columns", "image", "missing", "unplottable", "../outside")
    }
    assert "takes a path or a plot, one of them" in "".join(lines)


def test_a_number_too_long_for_text_does_not_raise(run: Run) -> None:
    run.log("loss", 10**5000)
    run.log_list("curve", [1, -(10**5000)])
    run.log("after", 10**400)
    assert run.get_metrics() == {"loss": math.inf, "curve": [1, -math.inf], "after": 10**400}


def test_several_values_given_to_log_are_a_list(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.log("loss", [1.0, 2.0])
    run.log("loss", numpy.array([3.0, 4.0]))
    assert run.get_metrics() == {"loss": [1.0, 2.0, 3.0, 4.0]}
    assert capsys.readouterr().err == "toolkit: 'loss' was given several values: kept as log_list does\n"


def test_lists_rows_and_tables(run: Run) -> None:
    run.log_list("curve", [1, 2.5])
    run.log_list("curve", (3,))
    run.log_list("nothing", [])
    run.log_row("fit", epoch=1, loss=0.5)
    run.log_row("fit", epoch=2, note="second")
    run.log_row("nothing")
    run.log_table("grid", {"x": [1, 2], "y": numpy.array([3.0, 4.0])})
    run.log_table("grid", {"x": 5, "y": 6})
    assert run.get_metrics() == {
        "curve": [1, 2.5, 3],
        "fit": {"epoch": [1, 2], "loss": [0.5, None], "note": [None, "second"]},
        "grid": {"x": [1, 2, 5], "y": [3.0, 4.0, 6]},
    }
    assert [record["step"] for record in records(run, "list")] == [0, 2]
    assert [record["step"] for record in records(run, "table")] == [0, 1, 0, 2]


# -- images and files ---------------------------------------------------------------------------------------------


def test_an_image_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "digit.jpg").write_bytes(b"jpeg")
    run.log_image("seven", path=str(tmp_path / "digit.jpg"))
    assert run.get_metrics() == {"seven": "seven.jpg"}
    assert Path(run._directory.artifacts, "seven.jpg").read_bytes() == b"jpeg"


def test_matplotlib_figures(run: Run) -> None:
    figure_module = pytest.importorskip("matplotlib.figure", reason="needs matplotlib")
    for height in (1, 2):
        figure = figure_module.Figure(figsize=(1, height), dpi=50)
        figure.add_subplot().plot([1, 2, 3])
        run.log_image("curve", plot=figure)
    assert run.get_metrics() == {"curve": "curve_1.png"}
    heights = []
    for number in range(2):
        content = Path(run._directory.artifacts, f"curve_{number}.png").read_bytes()
        assert content.startswith(b"\x89PNG")
        heights.append(int.from_bytes(content[20:24], "big"))
    assert heights == [50, 100]
    assert sorted(os.listdir(run._directory.artifacts)) == ["curve_0.png", "curve_1.png"]


def test_upload_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"weights")
    run.upload_file("outputs/model.pt", str(tmp_path / "model.pt"))
    run.upload_file("./notes//a.txt", io.BytesIO(b"stream"))
    with pytest.raises(UserErrorException, match="2 names for 1 paths"):
        run.upload_files(["one", "two"], [str(tmp_path / "model.pt")])
    run.upload_files(["one", "two"], [str(tmp_path / "model.pt"), str(tmp_path / "model.pt")])
    run.upload_file("one", io.BytesIO(b"replaced"))
    artifacts = Path(run._directory.artifacts)
    found = {str(path.relative_to(artifacts)): path.read_bytes() for path in artifacts.rglob("*") if path.is_file()}
    assert found == {
        "outputs/model.pt": b"weights", "notes/a.txt": b"stream", "one": b"replaced", "two": b"weights",
    }  # fmt: skip


def test_upload_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "made" / "deep").mkdir(parents=True)
    (tmp_path / "made" / "a.txt").write_text("a")
    (tmp_path / "made" / "deep" / "b.txt").write_text("b")
    run.upload_folder("kept", str(tmp_path / "made"))
    artifacts = Path(run._directory.artifacts)
    assert (artifacts / "kept/a.txt").read_text() == "a" and (artifacts / "kept/deep/b.txt").read_text() == "b"


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "..", "/etc/out.txt", "", "a\0b"])
def test_names_that_lead_outside_are_refused(name: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "out.txt").write_text("x")
    with pytest.raises(UserErrorException, match="cannot be the name of an artifact: use a relative path without"):
        run.upload_file(name, str(tmp_path / "file"))
    with pytest.raises(UserErrorException, match="cannot be the name of an artifact"):
        run.upload_folder(name, str(tmp_path / "folder"))
    assert [path.name for path in tmp_path.rglob("out.txt")] == ["out.txt"]


def test_files_that_are_not_there(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserErrorException, match=r"no-such\.txt.\): there is no such file in "):
        run.upload_file("a", "no-such.txt")
    with pytest.raises(UserErrorException, match="there is no such folder in "):
        run.upload_folder("a", str(tmp_path / "none"))


# -- tags and the rest --------------------------------------------------------------------------------------------


def test_tags(run: Run) -> None:
    run.tag("alone")
    run.tag("number", 3)
    run.set_tags({"number": 4, "other": "x"})
    run.remove_tags(["other"])
    assert run.get_tags() == run.tags == {"given": "at submit", "alone": "", "number": "4"}


def test_properties_never_change(run: Run) -> None:
    run.add_properties({"q": 1})
    for changed in ({"p": "2", "r": "3"}, {"q": 2}):
        with pytest.raises(UserErrorException, match="properties never change"):
            run.add_properties(changed)
    assert run.get_properties() == run.properties == {"p": "1", "q": "1"}


def test_the_end_of_a_submitted_run_is_not_its_own_to_set(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.complete()
    run.fail("why", error_code=3)
    run.cancel()
    run.cancel()
    assert run.get_properties()["error_details"] == "why"
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1 and f"toolkit cancel {run.id}" in warning


def test_mlflow_is_pointed_at_the_run_when_it_is_known_late(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    Path(run._directory.tracking).write_text(json.dumps({"mlflow_run_id": "abc"}))
    monkeypatch.setattr(os, "environ", {**os.environ})
    Run.get_context()
    assert os.environ["MLFLOW_RUN_ID"] == "abc"


def test_the_in_script_side_imports_the_standard_library_only() -> None:
    import subprocess
    import sys

    code = (
        "import sys; before = {*sys.modules}; import toolkit.inscript.run, toolkit.inscript.offline;"
        "new = {name.partition('.')[0] for name in {*sys.modules} - before} - {'toolkit'};"
        "print(sorted(new - sys.stdlib_module_names))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
    assert inscript_run.__doc__
