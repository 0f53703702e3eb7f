"""Shared by all tests: a toolkit home of the test's own, and workspaces whose processes end with the test."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.rig import base_image as base_images
from tests.rig import conda_channel, debian, leftovers
from tests.rig import registry as registries
from tests.rig.registry import Registry
from toolkit import Experiment, Run, ScriptRunConfig, Workspace
from toolkit.agent import server, wake
from toolkit.configuration import TEMPLATE
from toolkit.environments.store import Store, store
from toolkit.errors import ContainerEngineError
from toolkit.images import engine as container_engine
from toolkit.inscript import run as inscript_run

REPOSITORY = Path(__file__).resolve().parent.parent
FINAL = ("Completed", "Failed", "Canceled")


def needs(present: object, what: str) -> None:
    """Skip the test where `what` is missing; under CI, where everything is installed, fail."""
    if present:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must have {what}")
    pytest.skip(f"needs {what}")


def wait_until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait until `true()` holds; a test that hangs is a test that fails."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {true}"
        time.sleep(0.02)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """CI installs everything that the tests need: a test that skips there is a test that fails."""
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", [])
    if os.environ.get("CI") and skipped:
        reporter.write_line(f"{len(skipped)} tests were skipped, and under CI none may be")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the real CIFAR-10: TOOLKIT_DATA's where it is set, else one for this session."""
    folder = Path(os.environ.get("TOOLKIT_DATA") or tmp_path_factory.mktemp("data"))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "TOOLKIT_DATA": str(folder)}
    command = [sys.executable, "-c", "import cifar10; cifar10.fetch()"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if "DataError: CIFAR-10 could not be fetched" in result.stderr:
        pytest.skip(result.stderr[result.stderr.index("CIFAR-10 could not") :])
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="session")
def engine() -> Iterator[str]:
    """The address of the real container engine. What tests make in it is removed after the session."""
    address = container_engine.address()
    try:
        container_engine.ping(address)
    except ContainerEngineError as error:
        needs(None, f"a container engine ({error})")
    with leftovers.none_in(address):
        yield address


def _base(engine: str, base: base_images.Base) -> str:
    needs(not debian.why_not(), debian.why_not())
    return base_images.ensure(engine, base)


@pytest.fixture(scope="session")
def base_image(engine: str) -> str:
    """A reference of a slim Debian image in the engine: glibc, a shell, coreutils, certificates; no Python."""
    return _base(engine, base_images.SLIM)


@pytest.fixture(scope="session")
def python_base_image(engine: str) -> str:
    """The slim Debian image with Debian's own python3."""
    return _base(engine, base_images.PYTHON)


@pytest.fixture(scope="session")
def musl_base_image(engine: str) -> str:
    """An image without glibc: busybox and musl, as Alpine has them."""
    return _base(engine, base_images.MUSL)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry of images on loopback, open to all; one for the session, so use names of the test's own."""
    needs(not registries.why_not(), registries.why_not())
    with registries.serve(tmp_path_factory.mktemp("registry")) as served:
        yield served


@pytest.fixture(scope="session")
def private_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry of images on loopback that asks for its `username` and `password`."""
    needs(not registries.why_not(), registries.why_not())
    with registries.serve(tmp_path_factory.mktemp("private-registry"), private=True) as served:
        yield served


@pytest.fixture(scope="session")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conda channel made offline; see `tests.rig.conda_channel` for its packages. Not to be changed: `copy` it."""
    return conda_channel.make(tmp_path_factory.mktemp("channel") / "rig")


@pytest.fixture(scope="class")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One toolkit home for all tests of a class that is marked `shared_home`: its agent stays warm between them."""
    home = tmp_path_factory.mktemp("shared") / "home"
    yield home
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLKIT_HOME", str(home))
        if (home / "workspaces" / "test").is_dir():
            end_processes(Workspace.get("test"))


@pytest.fixture(autouse=True)
def toolkit_home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, and none of the variables of a run that the tests may be in."""
    for name in list(os.environ):
        if name.startswith(("TOOLKIT_", "AZUREML_", "MLFLOW_")):
            monkeypatch.delenv(name)
    shared = request.node.get_closest_marker("shared_home")
    home: Path = request.getfixturevalue("shared_home") if shared else tmp_path / "home"
    monkeypatch.setenv("TOOLKIT_HOME", str(home))
    monkeypatch.setattr(inscript_run, "_current", None)
    return home


@pytest.fixture
def place(toolkit_home: Path) -> Store:
    """The empty store of environments in the test's home."""
    made = store()
    made.make_folders()
    return made


@pytest.fixture
def workspace(request: pytest.FixtureRequest, toolkit_home: Path) -> Iterator[Workspace]:
    """A workspace with a short grace; what goes on in it is ended with the test."""
    made = Workspace.create("test", exist_ok=True)
    made.paths.configuration.write_text(TEMPLATE + "cancel_grace_seconds: 1\n")
    yield made
    if request.node.get_closest_marker("shared_home"):
        end_runs(made)
    else:
        end_processes(made)


def end_runs(workspace: Workspace) -> None:
    for run_id in os.listdir(workspace.paths.active):
        if (workspace.paths.runs / run_id).is_dir():
            workspace.get_run(run_id).cancel()
    if wake.is_running(workspace.paths):
        wait_until(lambda: not os.listdir(workspace.paths.active), 30)


def end_processes(workspace: Workspace) -> None:
    end_runs(workspace)
    wake.stop(workspace.paths)
    server.stop(workspace.paths)


Submit = Callable[..., Run]


@pytest.fixture
def submit(workspace: Workspace, tmp_path: Path) -> Submit:
    """`submit(script, **options of ScriptRunConfig)`: submit the text of a script to the workspace.

    `name` is its file's; `run_config` are attributes of the `RunConfiguration`.
    """

    def submit_script(
        script: str,
        experiment: str = "tests",
        name: str = "train.py",
        run_config: dict[str, object] | None = None,
        **options: object,
    ) -> Run:
        source = tmp_path / "source"
        source.mkdir(exist_ok=True)
        (source / name).write_text(textwrap.dedent(script))
        config = ScriptRunConfig(str(source), script=name, **options)  # type: ignore[arg-type]
        for attribute, value in (run_config or {}).items():
            setattr(config.run_config, attribute, value)
        return Experiment(workspace, experiment).submit(config)

    return submit_script


def lives(pid: int) -> bool:
    """Whether a process runs; one that ended and was not reaped does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def driver_log(run: Run) -> str:
    return Path(run.directory.driver_log).read_text(errors="replace")
