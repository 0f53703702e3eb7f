"""A host that shares no file with this side: environments are sent and made to work there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Submit, driver_log, needs
from tests.rig import sshd
from toolkit import Dataset, Environment, UserErrorException, Workspace
from toolkit.data.datastore import Datastore
from toolkit.data.inputs import input_datasets
from toolkit.environments import interpreters
from toolkit.errors import ComputeTargetException
from toolkit.inscript.host import prefixes
from toolkit.targets.elsewhere import check_data


@pytest.fixture
def elsewhere(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Host]:
    """A host that has neither the test's folder nor the user's home."""
    with without(tmp_path_factory.mktemp("elsewhere"), tmp_path, Path.home()) as served:
        yield served


@pytest.fixture
def with_pandas(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Host]:
    """A host that has not the test's folder, and has the Python of these tests, which may be in the user's home."""
    with without(tmp_path_factory.mktemp("with-pandas"), tmp_path) as served:
        yield served


@contextmanager
def without(folder: Path, *hidden: Path) -> Iterator[sshd.Host]:
    """A host where empty file systems lie over these folders."""
    needs(not sshd.why_not() and shutil.which("unshare") and os.geteuid() == 0, sshd.why_not() or "root, and unshare")
    covered = " && ".join(f"mount -t tmpfs tmpfs '{path}'" for path in hidden)
    with sshd.serve(folder, ["unshare", "-m", "sh", "-c", f'{covered} && exec "$@"', "sh"]) as served:
        yield served


def use(workspace: Workspace, host: sshd.Host, more: str = "") -> None:
    workspace.paths.configuration.write_text(
        f"compute_targets:\n  remote: {{{host.settings}, slots: 4{more}}}\ncancel_grace_seconds: 1\n"
    )


def test_a_run_on_a_host_that_shares_nothing(elsewhere: sshd.Host, workspace: Workspace, submit: Submit) -> None:
    use(workspace, elsewhere)
    run = submit(
        f"""
        import os
        from toolkit import Run
        Run.get_context().log("seen", int(os.path.exists({str(workspace.paths.root)!r})))
        open("outputs/x", "wb").write(bytes(6 << 20))
        """,
        compute_target="remote",
    )
    assert run.wait_for_completion()["status"] == "Completed"
    assert run.get_metrics() == {"seen": 0}
    assert (Path(run.directory.outputs) / "x").stat().st_size == 6 << 20


@pytest.mark.parametrize("of", ["datastore", "files", "glob", "registered"])
def test_a_table_is_read_there(
    with_pandas: sshd.Host, workspace: Workspace, submit: Submit, tmp_path: Path, of: str
) -> None:
    use(workspace, with_pandas, f", python: {sys.executable}")
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "a.csv").write_text("x,y\n1,2\n3,4\n")
    store = workspace.get_default_datastore()
    store.upload(str(folder), target_path="deep/tables", show_progress=False)
    path = {"files": str(folder / "a.csv"), "glob": (store, "deep/*/*.csv")}.get(of, (store, "deep/tables/a.csv"))
    table = Dataset.Tabular.from_delimited_files(path)
    if of == "registered":
        table = table.register(workspace, "table")
    run = submit(
        """
        import sys
        from toolkit import Dataset, Run
        run = Run.get_context()
        table = run.input_datasets["tab"]
        print(table.to_pandas_dataframe()["y"].tolist(), table.take(1).to_pandas_dataframe()["y"].tolist())
        print(table.id == sys.argv[2], table.name, table.version)
        print(Dataset.get_by_id(run.experiment.workspace, sys.argv[2]).to_pandas_dataframe()["x"].tolist())
        """,
        arguments=["--tab", table.as_named_input("tab")],
        compute_target="remote",
    )
    run.wait_for_completion()
    known = "table 1" if of == "registered" else "None None"
    assert driver_log(run).splitlines() == ["[2, 4] [2]", f"True {known}", "[1, 3]"]


def test_folders_above_a_file_keep_their_names_there(
    with_pandas: sshd.Host, workspace: Workspace, submit: Submit, tmp_path: Path
) -> None:
    use(workspace, with_pandas, f", python: {sys.executable}")
    (tmp_path / "data.csv").write_text("x\n1\n")
    store = workspace.get_default_datastore()
    store.upload_files([str(tmp_path / "data.csv")], target_path="texas/2020", show_progress=False)
    path = (store, "texas/2020/data.csv")
    table = Dataset.Tabular.from_delimited_files(path, partition_format="/{state}/{year}/data.csv")
    run = submit(
        """
        import os, sys
        from toolkit import Run
        print(Run.get_context().input_datasets["tab"].to_pandas_dataframe().to_dict("records"))
        print(os.listdir(sys.argv[2]), open(os.path.join(sys.argv[2], "data.csv")).read())
        """,
        arguments=[table.as_named_input("tab"), Dataset.File.from_files((store, "texas/2020")).as_mount()],
        compute_target="remote",
    )
    run.wait_for_completion()
    assert driver_log(run).splitlines()[:2] == ["[{'state': 'texas', 'year': '2020', 'x': 1}]", "['data.csv'] x"]


def test_a_table_of_a_datastore_that_other_machines_have_no_keys_of(
    workspace: Workspace, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"path": str(tmp_path), "target_protocol": "file", "target_options": {"auto_mkdir": True}}
    store = Datastore.register_fsspec(workspace, "faraway", "dir://", **options)
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    table = Dataset.Tabular.from_delimited_files((store, "a.csv"))
    script = "from toolkit import Run; print(Run.get_context().input_datasets['tab'].to_pandas_dataframe())"
    run = submit(script, arguments=[table.as_named_input("tab")])
    assert run.wait_for_completion()["status"] == "Completed", "on this machine it is read"
    needs(shutil.which("ssh") and shutil.which("rsync"), "ssh and rsync")
    workspace.paths.configuration.write_text("compute_targets: {remote: {type: ssh, host: remote.example.com}}")
    with pytest.raises(ComputeTargetException, match=r"'tab' is \('faraway', 'a.csv'\), .*as_download"):
        submit(script, arguments=[table.as_named_input("tab")], compute_target="remote")
    with pytest.raises(ComputeTargetException, match=r"'tab' is .* do not reach that: .* or set shared: true"):
        check_data("ray", run._definition())
    monkeypatch.setenv("TOOLKIT_RUN_DIR", run.directory.root)
    monkeypatch.setenv("TOOLKIT_ELSEWHERE", "the host of 'remote'")
    with pytest.raises(UserErrorException, match="'faraway', whose address and keys a script on the host of 'remote'"):
        input_datasets(run.directory, workspace)


def test_an_environment_is_sent_once_and_works_there(
    elsewhere: sshd.Host, workspace: Workspace, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, log = tmp_path / "programs", tmp_path / "rsync.log"
    folder.mkdir()
    (folder / "rsync").write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {shutil.which("rsync")} "$@"\n')
    (folder / "rsync").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    use(workspace, elsewhere)
    (tmp_path / "requirements.txt").write_text("iniconfig\npygments\n")
    environment = Environment.from_pip_requirements("mine", tmp_path / "requirements.txt")
    script = """
        import iniconfig, subprocess, sys
        print(sys.prefix, iniconfig.__file__.startswith(sys.prefix), sys.version_info[:2])
        print(subprocess.check_output(["pygmentize", "-V"]).decode().startswith("Pygments"))
    """
    for _ in range(2):
        run = submit(script, compute_target="remote", environment=environment)
        assert run.wait_for_completion()["status"] == "Completed", driver_log(run)
        first, second = driver_log(run).splitlines()
        assert first.startswith(f"{elsewhere.home}/environments/prefixes/") and " True " in first and second == "True"
        sent = len(log.read_text().splitlines())
    assert sent in (1, 2), "the environment, and Python where the host has none of its version; the second time nothing"


def test_a_python_that_the_host_has_not_is_sent_too(
    elsewhere: sshd.Host, workspace: Workspace, submit: Submit, tmp_path: Path
) -> None:
    versions = [found.version for found in interpreters.installed(lambda line: None, tmp_path)]
    there = subprocess.run(
        elsewhere.command("sh", "-c", "ls /usr/bin/python3.* /usr/local/bin/python3.*"), capture_output=True, text=True
    ).stdout
    minors = sorted(tuple(map(int, version.split(".")[:2])) for version in versions if version.startswith("3.1"))
    missing = [f"3.{minor}" for _, minor in minors if f"python3.{minor}" not in there]
    needs(missing, "a Python, in a folder of this user's, that the system has not")
    use(workspace, elsewhere)
    (tmp_path / "env.yml").write_text(f"dependencies: ['python={missing[-1]}', pip, {{pip: [iniconfig]}}]\n")
    environment = Environment.from_conda_specification("mine", tmp_path / "env.yml")
    script = "import ctypes, iniconfig, json, sqlite3, ssl, sys; print(sys.version_info[:2], sys.base_prefix)"
    run = submit(script, compute_target="remote", environment=environment)
    assert run.wait_for_completion()["status"] == "Completed"
    assert driver_log(run).startswith(f"({missing[-1].replace('.', ', ')}) {elsewhere.home}/environments/pythons/")
    log = Path(run.directory.build_log).read_text()
    assert "sending the environment to 'rig-host'" in log and "which has none" in log


def test_a_conda_environment_knows_its_new_path(
    elsewhere: sshd.Host, workspace: Workspace, submit: Submit, tmp_path: Path, channel: Path
) -> None:
    use(workspace, elsewhere)
    (tmp_path / "env.yml").write_text(f"channels: ['file://{channel}']\ndependencies: [python, numpy, colours]\n")
    environment = Environment.from_conda_specification("mine", tmp_path / "env.yml")
    environment.package_source = "conda"
    script = """
        import numpy, os, sys
        print(sys.prefix, numpy.ones(3).sum())
        print(open(os.path.join(sys.prefix, "share", "where.txt")).read().strip())
        print(open(os.path.join(sys.prefix, "share", "colours.txt")).read().strip())
    """
    run = submit(script, compute_target="remote", environment=environment)
    assert run.wait_for_completion()["status"] == "Completed"
    first, second, third = driver_log(run).splitlines()
    prefix = first.split()[0]
    assert prefix.startswith(f"{elsewhere.home}/environments/prefixes/") and first.endswith(" 3.0")
    assert (second, third) == (f"{prefix}/share", f"{prefix}/share/colours")


@pytest.mark.parametrize(
    ("new", "fits"),
    [(b"/short", True), (b"/a/much/longer/path/than/the/old/one", True), (b"/" + b"x" * 60, False)],
)
def test_prefixes_in_binaries_keep_their_length(new: bytes, fits: bool) -> None:
    old, width = b"/old/prefix", 48
    found = b"\x7fELF" + old + b"/lib:" + old + b"/x\0" + b"\0" * (2 * (width - len(old))) + b"next\0" + b"tail"
    if not fits:
        with pytest.raises(ValueError, match="use a shorter folder"):
            prefixes.in_binary(found, old, new, width, "libx.so")
        return
    changed = prefixes.in_binary(found, old, new, width, "libx.so")
    assert len(changed) == len(found) and changed.endswith(b"next\0tail")
    assert changed.startswith(b"\x7fELF" + new + b"/lib:" + new + b"/x\0") and old not in changed
