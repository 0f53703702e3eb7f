"""Environments built ahead of their runs, as folders of this machine and as images of the real container engine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from toolkit import ContainerEngineError, Environment, EnvironmentBuildError, UserErrorException, Workspace
from toolkit.cli import main
from toolkit.environments.store import find

SPEC = "dependencies:\n  - python>=3.8\n  - pip\n  - pip:\n    - iniconfig\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "env.yml"
    path.write_text(SPEC)
    return path


def use_targets(workspace: Workspace, text: str) -> None:
    workspace.paths.configuration.write_text(f"compute_targets:\n{text}")


def test_a_build_goes_on_in_the_background(
    file: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = Environment.from_conda_specification("mine", file)
    assert "none yet on this machine" in "\n".join(environment.explain(workspace, "local"))
    build = environment.build(workspace, image_build_compute="local")
    assert environment.version == "1" and build.status in ("Running", "Succeeded")
    build.wait_for_completion(show_output=True)
    assert build.status == "Succeeded" and Path(build.log_url).read_text() == build.get_log()
    said = capsys.readouterr().out
    assert "iniconfig" in said and "environment ready" in said and "Succeeded" in said
    prefix = find(environment.resolve("auto")["key"])
    assert prefix is not None and prefix.root in said
    assert prefix.root in environment.explain(workspace, "local")[0]
    assert capsys.readouterr().out.startswith("the environment is there, and nothing is built")
    (lock,) = Environment.get(workspace, "mine").locks
    assert lock.lock.hash == prefix.lock_hash, "what it came to is kept with the version"
    assert Environment.get(workspace, "mine").register(workspace).version == "1", "and makes it no other one"
    assert Environment.get(workspace, "mine").resolve("auto")["key"] == environment.resolve("auto")["key"]


def test_a_build_that_fails(tmp_path: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "requirements.txt").write_text("iniconfig==2.0.0\niniconfig==1.0.0\n")
    environment = Environment.from_pip_requirements("mine", tmp_path / "requirements.txt")
    with pytest.raises(EnvironmentBuildError, match=r"iniconfig==1\.0\.0[^$]*The build log is /") as caught:
        environment.build_local(workspace, useDocker=False)
    log = Path(str(caught.value).rpartition("The build log is ")[2])
    assert log.read_text() in capsys.readouterr().out


def test_nothing_is_built_for_an_interpreter_as_it_is(workspace: Workspace) -> None:
    build = Environment("plain").build(workspace, "local")
    build.wait_for_completion(show_output=False)
    assert build.status == "Succeeded" and "nothing is built" in build.get_log()
    assert Environment("plain").explain(workspace, "local") == ["nothing is built: runs use an interpreter as it is"]


def test_an_image(
    workspace: Workspace, engine: str, base_image: str, channel: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "env.yml").write_text(f"channels: ['{channel.as_uri()}']\ndependencies: [python, greeting]\n")
    use_targets(workspace, f"  docker: {{type: docker, base_image: '{base_image}', engine: '{engine}'}}\n")
    environment = Environment.from_conda_specification("mine", tmp_path / "env.yml")
    before = environment.get_image_details(workspace)
    assert (before.image_exist, before.image, before.interpreter_path) == (False, None, None)
    assert before["ingredients"]["baseImage"] == base_image
    assert f"base image: {base_image}" in "\n".join(environment.explain(workspace))
    environment.build(workspace).wait_for_completion(show_output=True)
    assert "Image Build Status: Succeeded" in capsys.readouterr().out
    after = environment.get_image_details(workspace)
    assert after.image_exist and after["dockerImage"]["name"] == after.image == after.repository
    assert after.interpreter_path and after.environment_path == os.path.dirname(os.path.dirname(after.interpreter_path))
    assert (after.registry, after.dockerfile) == ({"address": ""}, "")
    assert "nothing is built" in environment.explain(workspace, "docker")[0]
    (lock,) = Environment.get(workspace, "mine").locks
    assert (lock.kind, [package.name for package in lock.lock.conda if package.name == "greeting"]) == (
        "image", ["greeting"],
    )  # fmt: skip

    path = environment.lock(tmp_path / "image.lock.json", workspace=workspace, image=True)
    locked = Environment.from_lock("mine", path)
    assert locked.get_image_details(workspace).image == after.image, "the lock that this machine came to"


def test_without_an_engine(workspace: Workspace, file: Path) -> None:
    use_targets(workspace, "  box: {type: docker, engine: 'unix:///nowhere.sock'}\n  local: {type: local}\n")
    environment = Environment.from_conda_specification("mine", file)
    environment.build(workspace).wait_for_completion(show_output=False)
    assert find(environment.resolve("auto")["key"]) is not None, "a folder on this machine, which needs none"
    for call in (
        lambda: environment.get_image_details(workspace),
        lambda: environment.build_local(workspace, useDocker=True),
    ):
        with pytest.raises(ContainerEngineError, match=r"no container engine answers at unix:///nowhere\.sock"):
            call()
    with pytest.raises(ContainerEngineError, match="no container engine answers"):
        Environment.from_docker_image("other", "base:1").build(workspace)
    use_targets(workspace, "  local: {type: local}\n")
    with pytest.raises(UserErrorException, match=r"put a line below compute_targets in .*\n  docker: {type: docker}"):
        environment.get_image_details(workspace)


def test_pushing_needs_a_registry(workspace: Workspace, file: Path) -> None:
    environment = Environment.from_conda_specification("mine", file)
    with pytest.raises(UserErrorException, match="has no registry; set image_registry in"):
        environment.build_local(workspace, useDocker=True, pushImageToWorkspaceAcr=True)


def test_by_the_command_line(
    workspace: Workspace,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["environment", "lock", "env.yml"]) == 0
    assert capsys.readouterr().out == "Wrote env.lock.json\n"
    file.write_text(SPEC + "    - six\n")
    assert main(["environment", "build", "env.yml", "-w", "test", "-t", "local"]) == 1
    assert "has changed since its lock env.lock.json was made: pip has 'six'" in capsys.readouterr().err
    assert main(["environment", "lock", "env.yml", "--upgrade", "--json"]) == 0
    document = json.loads((tmp_path / "env.lock.json").read_text())
    assert json.loads(capsys.readouterr().out)["lock"] == "env.lock.json"
    assert "six==" in document["lock"]["requirements"], "what the message said to do"
    assert main(["environment", "build", "env.yml", "-w", "test", "-t", "local", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"environment": "env", "target": "local", "status": "Succeeded"}
    assert main(["environment", "explain", "env.yml", "-w", "test", "-t", "local"]) == 0
    assert "nothing is built" in capsys.readouterr().out
    assert main(["environment", "list", "-w", "test"]) == 0
    assert "has no environments yet" in capsys.readouterr().out
    Environment.from_conda_specification("mine", file).register(workspace)
    assert main(["environment", "list", "-w", "test", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["version"], row["packages"][-1]) == ("mine", "1", "six") and row["locks"][0]["hash"]
    assert main(["environment", "lock", "mine", "-w", "test", "-o", "named.lock.json"]) == 0
    assert json.loads((tmp_path / "named.lock.json").read_text()) == document, "the version's own lock"
    capsys.readouterr()
    assert main(["environment", "lock"]) == 1
    assert "say of what: `toolkit environment lock environment.yml`" in capsys.readouterr().err
