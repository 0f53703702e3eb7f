"""`Environment`: made from files, registered, resolved for a run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from toolkit import Environment, EnvironmentSpecificationError, UserErrorException, Workspace

SPEC = "name: other\nchannels: [conda-forge]\ndependencies:\n  - python>=3.8\n  - pip\n  - pip:\n    - iniconfig\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "env.yml"
    path.write_text(SPEC)
    return path


def test_from_a_conda_specification(file: Path) -> None:
    environment = Environment.from_conda_specification("mine", file)
    assert (environment.name, environment.version) == ("mine", None), "the file's own name is not used"
    specification = environment.python.specification
    assert specification is not None and specification.pip == ("iniconfig",)
    assert not environment.uses_own_interpreter
    assert repr(environment) == "Environment(name='mine', version=None)"


def test_from_pip_requirements(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("iniconfig==2.0.0  # pinned\n")
    environment = Environment.from_pip_requirements("mine", str(tmp_path / "requirements.txt"))
    specification = environment.python.specification
    assert specification is not None and specification.pip == ("iniconfig==2.0.0",)


def test_variables_of_the_specification_are_the_run_s(tmp_path: Path) -> None:
    (tmp_path / "env.yml").write_text(SPEC + "variables:\n  ANSWER: 42\n")
    environment = Environment.from_conda_specification("mine", tmp_path / "env.yml")
    assert environment.environment_variables == {"ANSWER": "42"}
    assert environment.resolve("auto")["variables"] == {"ANSWER": "42"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dependencies: [", "line 1"),
        ("dependencies: !!python/object/apply:os.getcwd []\n", "python/object"),
        ("dependencys: [python]\n", "dependencys"),
        ("- python\n", "env.yml"),
    ],
)
def test_specifications_that_are_broken_unsafe_or_unknown(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "env.yml"
    path.write_text(text)
    with pytest.raises(EnvironmentSpecificationError) as caught:
        Environment.from_conda_specification("mine", path)
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    for read in (Environment.from_conda_specification, Environment.from_pip_requirements):
        with pytest.raises(EnvironmentSpecificationError, match=r"none\.yml"):
            read("mine", tmp_path / "none.yml")


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "../a", None, "a" * 256])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(UserErrorException, match="cannot be the name of an environment: use letters, digits"):
        Environment(name)


@pytest.mark.parametrize("path", [None, 3, ""])
def test_a_file_that_is_no_path(path: str) -> None:
    for read in (Environment.from_conda_specification, Environment.from_pip_requirements):
        with pytest.raises(EnvironmentSpecificationError, match="give its path, as in"):
            read("mine", path)


def test_the_version_of_pip(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("six\n")
    specification = Environment.from_pip_requirements(
        "mine", tmp_path / "requirements.txt", "24.0"
    ).python.specification
    assert specification is not None and specification.conda == ("pip=24.0",)


def test_variables_that_no_system_takes() -> None:
    environment = Environment("mine")
    environment.environment_variables["A=B"] = "1"
    with pytest.raises(UserErrorException, match="'A=B' cannot be a variable in environment_variables"):
        environment.resolve("auto")


def test_without_a_specification_it_is_the_interpreter_that_submits() -> None:
    resolved = Environment("mine").resolve("auto")
    assert resolved == {
        "name": "mine", "variables": {}, "user_managed": True, "interpreter": sys.executable, "key": "", "gpu": False,
        "specification": None, "lock": None, "image": None,
        "docker": {"enabled": False, "arguments": [], "shm_size": None, "shared_volumes": True},
    }  # fmt: skip


def test_an_interpreter_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment("mine")
    environment.python.user_managed_dependencies = True
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python9").symlink_to(sys.executable)
    environment.python.interpreter_path = str(tmp_path / "bin" / "python9")
    assert environment.resolve("auto")["interpreter"] == str(tmp_path / "bin" / "python9")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    environment.python.interpreter_path = "python9"
    assert environment.resolve("auto")["interpreter"] == str(tmp_path / "bin" / "python9")
    environment.python.interpreter_path = "/no/such/python"
    with pytest.raises(UserErrorException) as caught:
        environment.resolve("auto")
    assert str(caught.value) == (
        "environment 'mine': there is no interpreter '/no/such/python'; set python.interpreter_path to one"
    )


def test_the_package_source_is_its_own_else_the_workspace_s(file: Path) -> None:
    environment = Environment.from_conda_specification("mine", file)
    asked = environment.resolve("conda")
    environment.package_source = "pypi"
    own = environment.resolve("conda")
    assert asked["specification"]["package_source"] == "conda" and own["specification"]["package_source"] == "pypi"
    assert asked["key"] != own["key"]
    assert environment.resolve("auto")["key"] == own["key"], "the same content is the same environment"


def test_a_wheel_of_one_s_own(workspace: Workspace, tmp_path: Path) -> None:
    wheel = tmp_path / "mine-1.0-py3-none-any.whl"
    with pytest.raises(UserErrorException, match="there is no wheel"):
        Environment.add_private_pip_wheel(workspace, wheel)
    wheel.write_bytes(b"one")
    url = Environment.add_private_pip_wheel(workspace, wheel)
    environment = Environment("mine")
    environment.python.conda_dependencies.add_pip_package(url)
    assert environment.python.specification is not None and environment.python.specification.pip == (url,)
    assert Environment.add_private_pip_wheel(workspace, str(wheel)) == url
    wheel.write_bytes(b"two")
    with pytest.raises(UserErrorException, match="has another wheel mine-1"):
        Environment.add_private_pip_wheel(workspace, wheel)
    assert Environment.add_private_pip_wheel(workspace, wheel, exist_ok=True) == url
    assert Environment.list(workspace) == {}


def test_clone(file: Path, workspace: Workspace) -> None:
    environment = Environment.from_conda_specification("mine", file).register(workspace)
    environment.environment_variables["A"] = "1"
    copy = environment.clone("copy")
    assert (copy.name, copy.version, copy.environment_variables) == ("copy", None, {"A": "1"})
    copy.environment_variables["A"] = "2"
    copy.python.user_managed_dependencies = True
    assert environment.environment_variables == {"A": "1"} and not environment.python.user_managed_dependencies


def test_versions(file: Path, workspace: Workspace) -> None:
    environment = Environment.from_conda_specification("mine", file)
    assert environment.register(workspace).version == "1"
    assert Environment.from_conda_specification("mine", file).register(workspace).version == "1", "the same is the same"
    environment.environment_variables["A"] = "1"
    environment.package_source = "pypi"
    assert environment.register(workspace).version == "2"
    latest = Environment.get(workspace, "mine")
    assert (latest.version, latest.environment_variables, latest.package_source) == ("2", {"A": "1"}, "pypi")
    first = Environment.get(workspace, "mine", "1")
    assert (first.version, first.environment_variables) == ("1", {})
    assert first.python.specification == environment.python.specification
    assert {name: found.version for name, found in workspace.environments.items()} == {"mine": "2"}


def test_one_that_is_not_there(file: Path, workspace: Workspace) -> None:
    with pytest.raises(UserErrorException, match=r"no environment 'mine' in the workspace 'test'; it has: none\. Reg"):
        Environment.get(workspace, "mine")
    Environment.from_conda_specification("other", file).register(workspace)
    with pytest.raises(UserErrorException, match="no environment 'other' version 7 in the workspace 'test'; it has: o"):
        Environment.get(workspace, "other", "7")
    with pytest.raises(UserErrorException, match="only one of version and label"):
        Environment.get(workspace, "other", "1", label="latest")
    with pytest.raises(UserErrorException, match="the only label is 'latest'"):
        Environment.get(workspace, "other", label="prod")
    assert Environment.get(workspace, "other", label="latest").version == "1"
    with pytest.raises(UserErrorException, match="labels are not offered; name the version"):
        Environment.label(workspace, "other", "1", ["prod"])
    with pytest.raises(UserErrorException, match="cannot be the name of an environment"):
        Environment.get(workspace, "../other")
    for version in ("latest", "1.5", "../other/1"):
        with pytest.raises(UserErrorException, match=f"version {version}"):
            Environment.get(workspace, "other", version)
