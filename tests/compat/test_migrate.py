"""`toolkit migrate`: imports of `azureml` become the toolkit's, and everything else stays as it was written."""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path

import pytest

from toolkit import UserErrorException
from toolkit.cli import main
from toolkit.migration import files, table
from toolkit.migration.rewrite import rewrite


def rewritten(text: str) -> str:
    (result,) = rewrite([text])
    ast.parse(result.text)
    return result.text


def left(text: str) -> list[tuple[int, str]]:
    (result,) = rewrite([text])
    return [(one.line, one.reason) for one in result.left]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from azureml.core import Workspace", "from toolkit import Workspace"),
        ("from azureml.core.run import Run as R", "from toolkit import Run as R"),
        ("from azureml.core.compute import ComputeTarget, AmlCompute", "from toolkit import ComputeTarget, AmlCompute"),
        ("from azureml.exceptions import UserErrorException as E", "from toolkit import UserErrorException as E"),
        ("from azureml.widgets import RunDetails  # see", "from toolkit import RunDetails  # see"),
        (
            "from azureml.core.run import Run, _OfflineRun",
            "from toolkit import Run\nfrom toolkit.inscript.offline import OfflineRun as _OfflineRun",
        ),
        (
            "from azureml.core import (\n    Workspace,  # ours\n    Run,\n)",
            "from toolkit import (\n    Workspace,  # ours\n    Run,\n)",
        ),
        (
            "if True:\n    from azureml.core.run import (\n        Run,  # one\n        _OfflineRun,\n    )\n    x = 1",
            "if True:\n    # one\n    from toolkit import Run\n"
            "    from toolkit.inscript.offline import OfflineRun as _OfflineRun\n    x = 1",
        ),
        ("from azureml.core import VERSION", "from toolkit import __version__ as VERSION"),
        ("import azureml.core\nprint('é', azureml.core.VERSION)", "import toolkit\nprint('é', toolkit.__version__)"),
        ("import azureml.core, os", "import toolkit, os"),
        (
            "import azureml.core\nazureml.core.runconfig.MpiConfiguration(2).node_count",
            "import toolkit\ntoolkit.MpiConfiguration(2).node_count",
        ),
        (
            "from azureml.core import runconfig\nrunconfig.RunConfiguration()",
            "import toolkit as runconfig\nrunconfig.RunConfiguration()",
        ),
        ("import azureml.core.model as m\nm.Model.list(ws)", "import toolkit as m\nm.Model.list(ws)"),
        (
            "from azureml.train.hyperdrive import *\nGridParameterSampling({'a': choice(1)})",
            "from toolkit import GridParameterSampling\nfrom toolkit.sweeps import choice\n"
            "GridParameterSampling({'a': choice(1)})",
        ),
        ("x = 1; from azureml.core import Run; y = 2", "x = 1; from toolkit import Run; y = 2"),
        ("x = 1; from azureml.core.run import Run, _OfflineRun",
         "x = 1; from toolkit import Run; from toolkit.inscript.offline import OfflineRun as _OfflineRun"),
        ("from azureml.core import Workspace\r\nx = 1\r\n", "from toolkit import Workspace\r\nx = 1\r\n"),
    ],
)  # fmt: skip
def test_rewriting(old: str, new: str) -> None:
    assert rewritten(old) == new
    assert left(old) == []


@pytest.mark.parametrize(
    "text",
    [
        "import os\nfrom toolkit import Run\n",
        "from .azureml import thing\nfrom mine.azureml.core import Workspace\n",
        "text = 'from azureml.core import Workspace'  # from azureml.core import Run\n",
    ],
)
def test_what_has_nothing_to_do_with_it(text: str) -> None:
    assert rewritten(text) == text and left(text) == []


@pytest.mark.parametrize(
    ("text", "new", "line", "reason"),
    [
        ("\nimport azureml.train.automl", None, 2, "is automated machine learning, which the toolkit does not offer"),
        ("from azureml.pipeline.steps import PythonScriptStep", None, 1, "is pipelines, which the toolkit"),
        (
            "from azureml.core.model import InferenceConfig, Model",
            "from azureml.core.model import InferenceConfig\nfrom toolkit import Model",
            1, "azureml.core.model.InferenceConfig is deployment as a web service",
        ),
        ("from azureml.core import Nothing", None, 1, "azureml.core.Nothing is a name that the toolkit does not have"),
        (
            "import azureml.core\nazureml.core.VERSION\nazureml.core.Image.list()",
            "import azureml.core, toolkit\ntoolkit.__version__\nazureml.core.Image.list()",
            3, "azureml.core.Image is images of web services",
        ),
        ("from azureml.core import compute\nrun(compute)", None, 1, "as a module has no one counterpart"),
    ],
)  # fmt: skip
def test_what_is_left_is_said_line_by_line(text: str, new: str | None, line: int, reason: str) -> None:
    assert rewritten(text) == (new or text)
    ((found, why),) = left(text)
    assert found == line and reason in why


def test_every_target_is_there() -> None:
    """What `migrate` writes can be imported: the table is the one by which the names are offered."""
    import importlib

    count = 0
    for name in ("azureml.core", "azureml.core.run", "azureml.core.runconfig", "azureml.data", "azureml.exceptions",
                 "azureml.train.hyperdrive", "azureml.train.dnn", "azureml.core.authentication"):  # fmt: skip
        offer = table.module(name)
        assert offer is not None
        for one in offer.homes:
            target = table.resolve(name, one)
            if isinstance(target, table.Target):
                assert hasattr(importlib.import_module(target.module), target.name), (name, one)
                count += 1
    assert count > 80


# -- files --------------------------------------------------------------------------------------------------------

SCRIPT = "from azureml.core import Run\nfrom azureml.core.webservice import Webservice\nprint('é')\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "control.py").write_text(SCRIPT)
    (folder / "src" / "plain.py").write_text("print(1)\n")
    (folder / ".venv").mkdir()
    (folder / ".venv" / "hidden.py").write_text(SCRIPT)
    (folder / "env").mkdir()
    (folder / "env" / "pyvenv.cfg").write_text("")
    (folder / "env" / "inner.py").write_text(SCRIPT)
    monkeypatch.chdir(folder)
    return folder


def test_the_diff_is_shown_and_nothing_written(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "."]) == 0
    told = capsys.readouterr().out
    assert "--- a/control.py\n+++ b/control.py\n" in told
    assert "-from azureml.core import Run\n+from toolkit import Run\n" in told
    assert "control.py:2: azureml.core.webservice.Webservice is deployment as a web service" in told
    assert told.endswith("1 files would change: `toolkit migrate --write` writes them\n")
    assert (project / "control.py").read_text() == SCRIPT
    assert {path.name for path in project.iterdir()} == {"control.py", "src", ".venv", "env"}


def test_write_keeps_the_original(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "control.py").chmod(0o751)
    assert main(["migrate", ".", "--write"]) == 0
    assert "The originals that git does not have are kept: control.py.orig" in capsys.readouterr().out
    assert (project / "control.py").read_text() == SCRIPT.replace("from azureml.core import", "from toolkit import")
    assert (project / "control.py").stat().st_mode & 0o777 == 0o751
    assert (project / "control.py.orig").read_text() == SCRIPT
    assert (project / ".venv" / "hidden.py").read_text() == (project / "env" / "inner.py").read_text() == SCRIPT
    assert main(["migrate", ".", "--write"]) == 0
    assert "Nothing to rewrite" in capsys.readouterr().out


def test_an_original_is_never_overwritten(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "control.py.orig").write_text("mine")
    assert main(["migrate", "--write", "."]) == 1
    assert "there is control.py.orig already: move it away" in capsys.readouterr().err
    assert (project / "control.py").read_text() == SCRIPT and (project / "control.py.orig").read_text() == "mine"


def test_what_git_has_needs_no_copy(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "changed.py").write_text(SCRIPT)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for command in (["init", "-q"], ["add", "control.py", "changed.py"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    (project / "changed.py").write_text(SCRIPT + "# later\n")
    assert main(["migrate", "control.py", "changed.py", "--write"]) == 0
    assert [path.name for path in project.glob("*.orig")] == ["changed.py.orig"]


def test_a_notebook_keeps_its_layout(project: Path) -> None:
    cells = [
        ["# from azureml.core import Run"],
        ["%matplotlib inline\n", "!pip install azureml-sdk\n", "import azureml.core\n", "from azureml.core import Run"],
        ["%%writefile train.py\n", "from azureml.core import Run\n", "run = Run.get_context()"],
        ["%%bash\n", "echo from azureml.core import Run"],
        ["print('é', azureml.core.VERSION)\n", "Run?"],
    ]
    document = {
        "cells": [
            {"cell_type": "markdown" if index == 0 else "code", "metadata": {"x": [1]}, "source": cell}
            for index, cell in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"language": "python", "name": "python3"}}, "nbformat": 4, "nbformat_minor": 2,
    }  # fmt: skip
    file = project / "n.ipynb"
    old = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    file.write_text(old)
    assert main(["migrate", "n.ipynb", "--write"]) == 0
    new = file.read_text()
    assert (project / "n.ipynb.orig").read_text() == old
    expected = old.replace('"import azureml.core\\n"', '"import toolkit\\n"')
    expected = expected.replace('"from azureml.core import Run', '"from toolkit import Run')
    assert new == expected.replace("azureml.core.VERSION", "toolkit.__version__")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("old.py", b"import azureml.core\nprint 'python 2'\n", "it is not Python that this Python reads (line 2: "),
        ("coding.py", b"# -*- coding: nothing -*-\nimport azureml.core\n", "unknown encoding"),
        ("bytes.py", b"import azureml.core\n'\xff'\n", "decode"),
        ("broken.ipynb", b'{"azureml": ', "Expecting value"),
        ("other.ipynb", b'{"azureml": 1}', "it is not a notebook in nbformat 4"),
        ("cell.ipynb", b'{"cells": [{"cell_type": "code", "source": "import azureml.core\\nprint 1"}]}', "not Python"),
    ],
)
def test_files_that_cannot_be_read_whole_are_refused(
    name: str, content: bytes, why: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / name).write_bytes(content)
    assert main(["migrate", "--write", "."]) == 1
    told = capsys.readouterr().out
    assert f"{name}: nothing is changed: " in told and why in told
    assert (project / name).read_bytes() == content
    assert "from toolkit import Run" in (project / "control.py").read_text(), "the others are rewritten"


def test_bytes_that_are_not_utf_8_survive(project: Path) -> None:
    text = "# coding: latin-1\nfrom azureml.core import Run\nname = 'é'\n"
    (project / "latin.py").write_bytes(text.encode("latin-1"))
    (project / "bom.py").write_bytes(b"\xef\xbb\xbf" + SCRIPT.encode())
    assert main(["migrate", "--write", "latin.py", "bom.py"]) == 0
    assert (project / "latin.py").read_bytes() == text.replace("azureml.core", "toolkit").encode("latin-1")
    assert (project / "bom.py").read_bytes().startswith(b"\xef\xbb\xbffrom toolkit import Run")


def test_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", ".", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["file"], found["changes"], found["written"], found["refused"]) == ("control.py", True, False, None)
    assert found["diff"].startswith("--- a/control.py") and found["left"][0]["line"] == 2


def test_a_path_that_is_not_there(project: Path) -> None:
    with pytest.raises(UserErrorException, match="there is no 'nowhere'"):
        [*files.find(["nowhere"])]
    (project / "notes.txt").write_text("")
    with pytest.raises(UserErrorException, match=r"neither a \.py file nor an \.ipynb notebook"):
        [*files.find(["notes.txt"])]


def test_nothing_to_do(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "src"]) == 0
    assert capsys.readouterr().out == "Nothing imports azureml there\n"
