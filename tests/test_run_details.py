"""`RunDetails(run).show()`: text in a pipe, a live table in a terminal, live HTML in the kernel of a notebook."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import Submit, needs, wait_until
from toolkit import Run, RunDetails, Workspace
from toolkit.run_view import Child, View, as_html, as_text

LOGS = """
from azureml.core import Run
run = Run.get_context()
for step in range(3):
    run.log("loss", 1 / (step + 1))
run.log_table("grid", {"x": [1, 2], "y": [3, 4]})
"""


def a_view(**changes: object) -> View:
    values = {
        "id": "e_1_0", "experiment": "e", "status": "Running", "reason": "", "error": "", "phases": {}, "metrics": {},
        "primary_metric": "", "children": [], "url": "", **changes,
    }  # fmt: skip
    return View(**values)  # type: ignore[arg-type]


def test_in_a_pipe(submit: Submit, capsys: pytest.CaptureFixture[str]) -> None:
    run = submit(LOGS)
    run.wait_for_completion()
    RunDetails(run).show()
    told = capsys.readouterr().out.splitlines()
    assert told[:3] == [f"run: {run.id}", "experiment: tests", "status: Completed"]
    assert "loss: 0.333333" in told and "grid: a table of x, y" in told
    assert any(re.match(r"seconds: snapshot \d", line) for line in told)
    assert told[-1].startswith("web view: http://")
    data = RunDetails(run_instance=run).get_widget_data()
    assert (data["status"], data["metrics"]["loss"]) == ("Completed", 1 / 3)


def test_a_run_that_failed_says_why(submit: Submit, capsys: pytest.CaptureFixture[str]) -> None:
    run = submit("raise ValueError('no such luck')")
    run.wait_for_completion(raise_on_error=False)
    RunDetails(run).show()
    told = capsys.readouterr().out
    assert "status: Failed" in told and "error: " in told


def test_children_by_the_metric_that_counts(submit: Submit) -> None:
    run = submit("""
from azureml.core import Run
run = Run.get_context()
run.add_properties({"primary_metric_config": '{"name": "loss", "goal": "minimize"}'})
for value in (0.5, 0.0, 0.25):
    with run.child_run() as child:
        child.log("loss", 9.0)
        child.log("loss", value)
with run.child_run():
    pass
""")
    run.wait_for_completion()
    seen = RunDetails(run).get_widget_data()
    assert seen["primary_metric"] == "loss"
    assert [child["metric"] for child in seen["children"]] == [0.0, 0.25, 0.5, None]
    assert {child["status"] for child in seen["children"]} == {"Completed"}


def test_in_a_terminal(submit: Submit, workspace: Workspace) -> None:
    """It follows the run until it has ended."""
    run = submit("import time; from toolkit import Run; Run.get_context().log('loss', 0.5); time.sleep(1)")
    code = (
        "from toolkit import Run, RunDetails, Workspace; "
        f"RunDetails(Run.get(Workspace.get('test'), '{run.id}')).show(); print('after')"
    )
    mine, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "150", "LINES": "40"}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    told = b""
    while b"after" not in told:
        told += os.read(mine, 65536)
    assert process.wait(30) == 0
    os.close(mine)
    text = told.decode()
    assert run.id in text and "Completed" in text and "loss" in text and "http://" in text
    assert run.status == "Completed"


NOTEBOOK = """
import json, sys
import nbclient, nbformat
cells = json.load(open(sys.argv[1]))
book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute()
json.dump([cell["outputs"] for cell in book["cells"]], open(sys.argv[2], "w"))
"""


def test_in_a_notebook(submit: Submit, tmp_path: Path, workspace: Workspace) -> None:
    """The cell ends at once, and what it showed follows the run while later cells go on."""
    needs(find_spec("nbclient") and find_spec("ipykernel"), "nbclient and ipykernel")
    run = submit("""
import os, time
from toolkit import Run
Run.get_context().log("loss", 0.5)
while not os.path.exists("../go"):
    time.sleep(0.05)
Run.get_context().log("loss", 0.25)
""")
    cells = [
        "import toolkit.compat; toolkit.compat.enable()\n"
        "from azureml.core import Run, Workspace\n"
        "from azureml.widgets import RunDetails\n"
        f"run = Run.get(Workspace.get('test'), '{run.id}')\n"
        "RunDetails(run).show()\n"
        "print(run.get_status() in ('Completed', 'Failed'))",
        f"open({os.path.join(run.directory.root, 'go')!r}, 'w').close()\n"
        "import threading\n"
        "print(run.wait_for_completion()['status'])\n"
        "[one.join(60) for one in threading.enumerate() if one.name == 'run-details']",
    ]
    (tmp_path / "cells.json").write_text(json.dumps(cells))
    (tmp_path / "execute.py").write_text(NOTEBOOK)
    command = [sys.executable, "execute.py", "cells.json", "outputs.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    first, second = json.loads((tmp_path / "outputs.json").read_text())
    assert "False" in next(one["text"] for one in first if one["output_type"] == "stream"), "show does not wait"
    shown = "".join(next(one["data"]["text/html"] for one in first if one["output_type"] == "display_data"))
    assert 'data-status="Completed"' in shown and "0.25" in shown and run.id in shown
    assert "Completed" in second[0]["text"]


def test_what_a_run_says_of_itself_is_text() -> None:
    seen = a_view(status="<b>", metrics={"<script>": "<i>&"}, url="javascript:alert(1)", children=[Child("<c>", "x")])
    page = as_html(seen)
    assert "<script>" not in page and "<i>" not in page and "<c>" not in page and "href" not in page
    assert "&lt;script&gt;" in page


def test_many_children_are_counted() -> None:
    seen = a_view(children=[Child(str(number), "Completed", number) for number in range(300)], primary_metric="loss")
    told = as_text(seen).splitlines()
    assert told[3] == "300 child runs, of which 20, by loss:" and len(told) == 24
    assert "300 child runs" in as_html(seen)


def test_a_watcher_leaves_the_run_alone(submit: Submit) -> None:
    run: Run = submit("import time; time.sleep(60)")
    wait_until(lambda: run.get_status() == "Running")
    RunDetails(run).get_widget_data()
    assert run.get_status() == "Running"
