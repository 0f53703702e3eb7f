"""Environments that a team shares: two machines, and a real MLflow server between them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from toolkit import Environment, TrackingError, UserErrorException, Workspace
from toolkit.agent import server, shared_environments
from toolkit.agent.shared_environments import EXPERIMENT
from toolkit.definitions import definition
from toolkit.definitions.lock_file import LockFile
from toolkit.environments.lock import Lock, Python
from toolkit.environments.request import ImageDefaults

Machine = Callable[[str], Workspace]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tracking server as a team has one: it serves the artifacts too."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--port", str(port), "--workers", "1"]
    with (folder / "log.txt").open("wb") as log:
        environ = {**os.environ, **server.mlflow_environment()}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environ, start_new_session=True)
        try:
            wait_until(lambda: server.answers(f"http://127.0.0.1:{port}"), 120)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, 15)
            process.wait()


@pytest.fixture
def machine(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """`machine(name)`: from now on the code runs on that machine; its workspace."""

    def go_to(name: str) -> Workspace:
        monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / name))
        workspace = Workspace.create("team", exist_ok=True)
        workspace.paths.configuration.write_text(f"tracking_uri: {uri}\n")
        return workspace

    return go_to


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of the test's own: the server is shared."""
    return request.node.name.replace("_", "-")[:60]


def environment(name: str, folder: Path, *packages: str) -> Environment:
    lines = "".join(f"    - {package}\n" for package in packages)
    (folder / "env.yml").write_text(f"dependencies:\n  - python>=3.8\n  - pip\n  - pip:\n{lines}")
    return Environment.from_conda_specification(name, folder / "env.yml")


def unreachable(workspace: Workspace) -> None:
    """Let the workspace's server be one that is down, and its copies those of the one that answered."""
    shared = workspace.paths.environments / ".shared"
    copies = next(shared.iterdir(), None) if shared.exists() else None
    workspace.paths.configuration.write_text("tracking_uri: http://127.0.0.1:9\n")
    if copies is not None:
        import hashlib

        copies.rename(shared / hashlib.sha256(b"http://127.0.0.1:9").hexdigest()[:12])


def test_another_machine_gets_the_same_environment_with_the_same_lock(
    machine: Machine, name: str, tmp_path: Path
) -> None:
    here = machine("here")
    registered = environment(name, tmp_path, "iniconfig").register(here)
    assert registered.version == "1" and len(registered.locks) == 1
    there = machine("there")
    found = Environment.get(there, name)
    assert (found.version, definition.of(found)) == ("1", definition.of(registered))
    assert found.locks[0].hash == registered.locks[0].hash
    lock = found.resolve("auto")["lock"]
    assert lock["requirements"] == registered.locks[0].lock.requirements and "iniconfig==" in lock["requirements"]
    assert Environment.list(there)[name].version == there.environments[name].version == "1"

    assert environment(name, tmp_path, "iniconfig").register(there).version == "1", "identical is identical everywhere"
    assert environment(name, tmp_path, "iniconfig<3").register(there).version == "2"
    machine("here")
    assert Environment.get(here, name).version == "2"
    assert Environment.get(here, name, "1").version == "1"
    with pytest.raises(UserErrorException, match=rf"no environment '{name}' version 3 .* it has: .*{name}"):
        Environment.get(here, name, "3")


def test_credentials_are_not_published(
    machine: Machine, name: str, uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = machine("here")
    link = f"--find-links https://me:s3cret@{uri.rpartition('/')[2]}/none"
    asked = environment(name, tmp_path, "iniconfig", link)
    specification = asked.python.specification
    assert specification is not None
    lock = Lock("Linux-x86_64", Python("3.11.7", "", ""), requirements="iniconfig==2.0.0")
    asked.hold_locks((LockFile(specification, lock),), given=False)
    asked.environment_variables["STORE"] = "s3://me:meant@bucket"
    assert asked.register(here).version == "1"
    assert "credentials in its URLs are not published; whoever uses it needs them" in capsys.readouterr().err
    published = json.dumps(shared_environments.fetch(uri, name))
    assert "s3cret" not in published and "--find-links https://127" in published and "me:meant@" in published
    assert asked.register_locally(here).version == "1", "it is the one that was published"
    assert asked.python.specification == specification, "its own runs have them"


def test_containers_of_another_machine_get_the_same_lock_too(
    machine: Machine, name: str, tmp_path: Path, python_base_image: str
) -> None:
    def with_images(workspace: Workspace) -> Workspace:
        settings = f"{{type: docker, base_image: '{python_base_image}'}}"
        with workspace.paths.configuration.open("a") as file:
            file.write(f"compute_targets:\n  local: {{type: local}}\n  docker: {settings}\n")
        return workspace

    asked = environment(name, tmp_path, "iniconfig")
    asked.package_source = "pypi"
    registered = asked.register(with_images(machine("here")))
    assert {lock.kind for lock in registered.locks} == {"prefix", "image"}
    found = Environment.get(with_images(machine("there")), name)
    resolved = found.resolve("auto", ImageDefaults(python_base_image))
    of_image = next(lock for lock in registered.locks if lock.kind == "image")
    assert Lock.from_dict(resolved["lock"]).hash == of_image.lock.hash


def test_a_version_without_packages_needs_no_lock(machine: Machine, name: str) -> None:
    plain = Environment(name)
    plain.environment_variables["A"] = "1"
    assert plain.register(machine("here")).version == "1"
    found = Environment.get(machine("there"), name)
    assert (found.environment_variables, found.locks) == ({"A": "1"}, ())


def test_many_that_register_at_once_get_numbers_of_their_own(uri: str, name: str) -> None:
    """Four processes, two definitions: each definition has one version, whoever was first, and no number is shared."""
    code = "import sys, json; from toolkit.agent.shared_environments import publish\n"
    code += "print(publish(*json.loads(sys.argv[1]))['version'])"
    asked = [[uri, name, str(number % 2) * 64, {"number": number % 2}, []] for number in range(4)]
    running = [
        subprocess.Popen([sys.executable, "-c", code, json.dumps(one)], stdout=subprocess.PIPE, text=True)
        for one in asked
    ]
    versions = [process.communicate()[0].strip() for process in running]
    assert versions[:2] == versions[2:] and sorted(versions[:2]) == ["1", "2"]
    assert shared_environments.versions(uri)[name] == ["1", "2"]
    for one, version in zip(asked[:2], versions):
        found = shared_environments.fetch(uri, name, version)
        assert found is not None and found["definition"] == one[3]


def test_one_that_ended_in_the_middle_is_not_seen_and_its_number_not_given_again(uri: str, name: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    shared = shared_environments.Shared(client)

    def publish(letter: str) -> str:
        return str(shared.publish(name, letter * 64, {letter: 1}, [])["version"])

    assert publish("a") == "1"
    experiment = client.get_experiment_by_name(EXPERIMENT)
    tags = {"name": name, "version": "2", "digest": "b" * 64}
    client.create_run(experiment.experiment_id, tags={f"toolkit.environment.{k}": v for k, v in tags.items()})
    assert shared.versions()[name] == ["1"]
    assert shared.fetch(name, "2") is None
    assert publish("b") == "3"
    wanted = f"tags.`toolkit.environment.version` = '3' AND tags.`toolkit.environment.name` = '{name}'"
    (found,) = client.search_runs([experiment.experiment_id], wanted)
    client.delete_run(found.info.run_id)
    assert publish("b") == "4", "deleted by somebody, wanted again"
    client.delete_experiment(experiment.experiment_id)
    assert publish("c") == "5"
    experiments = [one.name for one in client.search_experiments()]
    assert experiments.count(EXPERIMENT) == 1
    assert not [one for one in experiments if "claims" in one], "claims are out of sight"


def test_while_the_server_is_down_the_copies_serve(
    machine: Machine, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = machine("here")
    registered = environment(name, tmp_path, "iniconfig").register(here)
    unreachable(here)
    capsys.readouterr()
    assert Environment.get(here, name, "1").version == "1"
    assert capsys.readouterr().err == "", "a version that is here needs no server"
    found = Environment.get(here, name)
    assert (found.version, found.locks) == ("1", registered.locks)
    said = capsys.readouterr().err
    assert "Connection refused" in said and f"Taking version 1 of environment '{name}' from this machine" in said
    assert Environment.list(here)[name].version == "1"
    assert environment(name, tmp_path, "iniconfig").register(here).version == "1"


def test_without_a_copy_it_is_an_error_but_a_submit_never_waits(machine: Machine, name: str, tmp_path: Path) -> None:
    here = machine("here")
    unreachable(here)
    with pytest.raises(TrackingError, match=r"http://127\.0\.0\.1:9 .*There is no copy of environment"):
        Environment.get(here, name)
    made = environment(name, tmp_path, "iniconfig")
    with pytest.raises(TrackingError, match="Is it up, and is tracking_uri in"):
        made.register(here)
    kept = environment(name, tmp_path, "iniconfig").register_locally(here)
    assert kept.version is not None and kept.version.startswith("Autosave_")
    assert environment(name, tmp_path, "iniconfig").register_locally(here).version == kept.version
    assert Environment.get(here, name).version == kept.version
    assert Environment.get(here, name, kept.version).python.specification == made.python.specification


def test_what_a_submit_kept_is_no_version_of_the_team(machine: Machine, name: str, tmp_path: Path) -> None:
    here = machine("here")
    environment(name, tmp_path, "six").register_locally(here)
    assert environment(name, tmp_path, "iniconfig").register(here).version == "1"
    assert environment(name, tmp_path, "iniconfig").register_locally(here).version == "1"
    assert Environment.get(here, name).version == "1"


def test_credentials_of_a_server_are_not_said() -> None:
    with pytest.raises(TrackingError) as caught:
        shared_environments.versions("http://me:s3cret@127.0.0.1:9")
    assert "s3cret" not in str(caught.value)
