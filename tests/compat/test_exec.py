"""`toolkit exec`: what `python script.py` does, with the toolkit's `azureml` names."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import needs, wait_until

TOOLKIT = [sys.executable, "-m", "toolkit", "exec"]


def execute(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run([*TOOLKIT, *words], cwd=folder, capture_output=True, text=True, env=environment, timeout=120)


def script(folder: Path, text: str, name: str = "control.py") -> str:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return name


def notebook(folder: Path, *cells: str, **metadata: Any) -> str:
    document = {
        "cells": [
            {"cell_type": "markdown", "metadata": {}, "source": ["# azureml"]},
            *(
                {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [],
                 "source": cell.splitlines(keepends=True)}
                for cell in cells
            ),
        ],
        "metadata": metadata, "nbformat": 4, "nbformat_minor": 4,
    }  # fmt: skip
    return script(folder, json.dumps(document, indent=1), "control.ipynb")


def test_it_is_what_python_would_run(tmp_path: Path) -> None:
    name = script(
        tmp_path,
        "import sys, helper\n"
        "from azureml.core import VERSION\n"
        "print(__name__, sys.argv, sys.path[0], VERSION, helper.name)\n"
        "sys.exit(3)\n",
        "deep/control.py",
    )
    script(tmp_path, "name = __name__\n", "deep/helper.py")
    done = execute(tmp_path, name, "-m", "--json", "a b")
    assert done.returncode == 3, done.stderr
    assert done.stdout == f"__main__ {[name, '-m', '--json', 'a b']} {tmp_path / 'deep'} 1.61.0 helper\n"
    assert done.stderr == ""


def test_a_module(tmp_path: Path) -> None:
    script(
        tmp_path, "import sys\nfrom azureml.core import Workspace\nprint(__name__, sys.argv[1:])\n", "package/main.py"
    )
    assert execute(tmp_path, "-m", "package.main", "--x").stdout == "__main__ ['--x']\n"


def test_an_error_is_python_s_own(tmp_path: Path) -> None:
    name = script(tmp_path, "from azureml.core import Workspace\n\n1 / 0\n")
    done = execute(tmp_path, name)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "Traceback (most recent call last):"
    assert 'control.py", line 3, in <module>' in done.stderr and done.stderr.endswith(
        "ZeroDivisionError: division by zero\n"
    )
    assert done.stderr.count("File ") == 1


def test_ctrl_c(tmp_path: Path) -> None:
    name = script(tmp_path, "import azureml.core, time\nopen('there', 'w').close()\ntime.sleep(60)\n")
    process = subprocess.Popen([*TOOLKIT, name], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: (tmp_path / "there").exists())
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT and told.splitlines()[-1] == "KeyboardInterrupt"


def test_what_the_script_starts_has_the_names_too(tmp_path: Path) -> None:
    name = script(
        tmp_path,
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import azureml.core; print(azureml.core.VERSION)'], check=True)\n",
    )
    assert execute(tmp_path, name).stdout == "1.61.0\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.py"], "toolkit: there is no script 'nowhere.py' (looked in "),
        (
            ["-x", "nowhere.py"],
            "toolkit: toolkit exec has no option -x: the script's own arguments come after its name",
        ),
        (["-m"], "toolkit: say which module: `toolkit exec -m MODULE`"),
        ([], "usage: toolkit exec [--dry-run] SCRIPT.py"),
    ],
)
def test_a_wrong_call(words: list[str], told: str, tmp_path: Path) -> None:
    done = execute(tmp_path, *words)
    assert done.returncode == 2 and done.stderr.startswith(told) and done.stdout == ""


def test_help(tmp_path: Path) -> None:
    done = execute(tmp_path, "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: toolkit exec [--dry-run] SCRIPT.py")


def test_a_real_sdk_is_named_and_passed_over(tmp_path: Path) -> None:
    core = tmp_path / "site" / "azureml" / "core"
    core.mkdir(parents=True)
    (core / "__init__.py").write_text("VERSION = 'real'\n")
    name = script(tmp_path, "import azureml.core\nprint(azureml.core.VERSION)\n")
    done = execute(tmp_path, name, PYTHONPATH=str(tmp_path / "site"))
    assert done.stdout == "1.61.0\n"
    assert done.stderr.startswith("toolkit: the azureml names are the toolkit's; Azure's own SDK is installed as well")


def test_a_workspace_without_a_config_says_what_to_do(tmp_path: Path) -> None:
    name = script(tmp_path, "from azureml.core import Workspace\nWorkspace.from_config()\n")
    assert (
        "We could not find config.json in: " in (told := execute(tmp_path, name).stderr)
        and "`toolkit init NAME`" in told
    )


# -- notebooks ----------------------------------------------------------------------------------------------------


def test_a_notebook(tmp_path: Path) -> None:
    name = notebook(
        tmp_path,
        "%matplotlib inline\n!pip install --upgrade azureml-sdk\nimport azureml.core",
        "text = '''\n%not a magic\n!nor a command\n'''\ntext.count('!')",
        "def version():\n    return azureml.core.VERSION\n\nprint(version(), __name__)\nversion();",
        "display('shown', [2])",
    )
    done = execute(tmp_path, name)
    assert (done.returncode, done.stdout) == (0, "1\n1.61.0 __main__\nshown\n[2]\n"), done.stderr
    assert done.stderr == (
        "toolkit: cell 2: left out `!pip install --upgrade azureml-sdk`: install what is missing before, by hand\n"
    )


def test_an_error_in_a_cell_says_which(tmp_path: Path) -> None:
    done = execute(tmp_path, notebook(tmp_path, "print(1)", "x = 1\nx / 0"))
    assert done.returncode == 1 and done.stdout == "1\n"
    assert 'control.ipynb cell 3", line 2' in done.stderr and "x / 0" in done.stderr
    assert done.stderr.count("File ") == 1, "nothing of the toolkit's stands above it"


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("%%bash\nls", "cell 3: `%%bash` is for IPython alone"),
        ("files = 1\n!ls -l", "cell 3: `!ls -l` is for IPython alone"),
        ("%run other.py", "cell 3: `%run other.py` is for IPython alone"),
    ],
)
def test_what_only_ipython_runs(cell: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "import sys\nsys.modules['IPython'] = None\n", "without/sitecustomize.py")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "without"))
    done = execute(tmp_path, notebook(tmp_path, "open('ran', 'w').close()", cell))
    assert done.returncode == 2 and told in done.stderr and "toolkit.compat.enable()" in done.stderr
    assert not (tmp_path / "ran").exists(), "nothing is run where a cell cannot be"


def test_what_ipython_runs_where_it_is_installed(tmp_path: Path) -> None:
    needs(importlib.util.find_spec("IPython"), "IPython")
    name = notebook(
        tmp_path,
        "folder = '.'",
        "%%writefile $folder/train.py\n!not a command\nprint(1)",
        "!head -1 train.py\nlines = !wc -l < train.py\nprint(lines, 5 % 3)",
        "%%time\nx = 1",
        "print(x)\nx / 0",
    )
    done = execute(tmp_path, name)
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr and 'cell 6", line 2' in done.stderr
    assert (tmp_path / "train.py").read_text() == "!not a command\nprint(1)\n"
    written, first, lines, *times, last = done.stdout.splitlines()
    assert "train.py" in written and (first, lines, last) == ("!not a command", "['2'] 2", "1")
    assert any(line.startswith("Wall time") for line in times)


def test_notebooks_that_are_none(tmp_path: Path) -> None:
    done = execute(tmp_path, script(tmp_path, "{}", "empty.ipynb"))
    assert done.returncode == 2 and "is not a notebook that can be read" in done.stderr
    done = execute(tmp_path, notebook(tmp_path, "1", kernelspec={"language": "R", "name": "ir"}))
    assert done.returncode == 2 and "is a notebook of R" in done.stderr


def test_enable_in_a_process_of_its_own(tmp_path: Path) -> None:
    code = "from toolkit import compat; compat.enable(); compat.enable(); import azureml.core as a; print(a.VERSION)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1.61.0\n", "")
