"""`CondaDependencies`: put together in code, and the one truth with what an environment asks for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from toolkit import CondaDependencies, Environment, EnvironmentSpecificationError, RunConfiguration, UserErrorException

PYTHON = f"python={sys.version_info[0]}.{sys.version_info[1]}"


def made(**options: Any) -> CondaDependencies:
    return CondaDependencies.create(**options)


def test_without_anything_it_is_this_python() -> None:
    empty = CondaDependencies()
    assert list(empty.conda_packages) == [PYTHON] and list(empty.pip_packages) == []
    assert empty.get_python_version() == PYTHON.partition("=")[2]


def test_created() -> None:
    found = made(
        pip_indexurl="https://mirror/simple",
        pip_packages=["six", "torch==2.4.0"],
        conda_packages=["numpy=1.26", "pip"],
        python_version="3.10",
        pin_sdk_version=False,
    )
    assert list(found.conda_packages) == ["python=3.10", "numpy=1.26", "pip"]
    assert list(found.pip_packages) == ["six", "torch==2.4.0"]
    assert list(found.pip_options) == ["--index-url https://mirror/simple"]
    assert list(found.conda_channels) == ["conda-forge"]
    specification = yaml.safe_load(found.serialize_to_string())
    assert specification == found.as_dict()
    assert specification["dependencies"][-1] == {"pip": ["--index-url https://mirror/simple", "six", "torch==2.4.0"]}


def test_a_package_takes_the_place_of_what_was_asked_of_it() -> None:
    found = made(
        pip_packages=["Py.Yaml==5", "six", "torch[opt]>=1 ; python_version>'3'"], conda_packages=["numpy=1.26"]
    )
    found.add_pip_package("py-yaml==6")
    found.add_pip_package("torch")
    found.add_conda_package("conda-forge::numpy>=2")
    found.add_conda_package("python=3.9")
    assert list(found.pip_packages) == ["six", "py-yaml==6", "torch"]
    assert list(found.conda_packages) == ["python=3.9", "conda-forge::numpy>=2"]


def test_taken_out() -> None:
    found = made(
        pip_packages=["six==1", "https://host/wheels/Some_Thing-1.0-py3-none-any.whl"], conda_packages=["numpy"]
    )
    found.remove_pip_package("six")
    found.remove_pip_package("some-thing")
    found.remove_pip_package("never-there")
    found.remove_conda_package("numpy=1.26")
    found.remove_conda_package("never-there")
    assert list(found.pip_packages) == [] and list(found.conda_packages) == [PYTHON]
    with pytest.raises(UserErrorException, match="python cannot be taken out"):
        found.remove_conda_package("python")


def test_channels_and_options() -> None:
    found = made()
    found.add_channel("pytorch")
    found.add_channel("pytorch")
    found.remove_channel("conda-forge")
    assert list(found.conda_channels) == ["pytorch"]
    found.set_pip_option("--extra-index-url https://a/simple")
    found.set_pip_option("--extra-index-url https://b/simple")
    found.set_pip_index_url("--index-url https://c/simple")
    found.set_pip_index_url("https://d/simple")
    assert list(found.pip_options) == ["--extra-index-url https://b/simple", "--index-url https://d/simple"]
    found.remove_pip_option("-i anything")
    assert list(found.pip_options) == ["--extra-index-url https://b/simple"]
    found.set_pip_requirements(["-f wheels", "six"])
    assert (list(found.pip_options), list(found.pip_packages)) == (["-f wheels"], ["six"])


def test_tensorflow_is_one_package_for_both_and_cntk_is_no_more() -> None:
    found = made(pip_packages=["tensorflow-gpu==2.0"])
    found.add_tensorflow_pip_package("gpu", "2.16.1")
    found.add_tensorflow_conda_package(version="2.15")
    assert list(found.pip_packages) == ["tensorflow[and-cuda]==2.16.1"]
    assert list(found.conda_packages) == [PYTHON, "tensorflow=2.15"]
    with pytest.raises(UserErrorException, match="core_type is 'tpu'"):
        found.add_tensorflow_pip_package("tpu")
    with pytest.raises(UserErrorException, match="CNTK"):
        found.add_cntk_package()


def test_requirements_of_one_package_are_put_together() -> None:
    merged = CondaDependencies.merge_requirements(["a>=1", "b", "a<2", "b==3"])
    assert merged == ["a>=1,<2", "b==3"]


def test_from_a_file_and_back(tmp_path: Path) -> None:
    (tmp_path / "pins.txt").write_text("six<2\n")
    (tmp_path / "env.yml").write_text(
        "name: x\nchannels: [a, b]\ndependencies:\n  - python=3.10\n  - pip:\n    - -c pins.txt\n    - six\n"
        "variables: {A: 1}\n"
    )
    found = CondaDependencies(tmp_path / "env.yml")
    found.add_pip_package("iniconfig")
    assert found.save(tmp_path / "out.yml") == str(tmp_path / "out.yml")
    assert found.save_to_file(tmp_path, "again.yml") == "again.yml"
    assert list(CondaDependencies(str(tmp_path / "out.yml")).pip_packages) == ["six", "iniconfig"]
    assert (tmp_path / "again.yml").read_text() == found.serialize_to_string()
    environment = Environment("mine")
    environment.python.conda_dependencies = found
    specification = environment.python.specification
    assert specification is not None
    assert (specification.pip, specification.constraints) == (("six", "iniconfig"), ("six<2",))
    assert environment.resolve("auto")["variables"] == {"A": "1"}
    with pytest.raises(UserErrorException, match="is a folder: name the file as well"):
        found.save(tmp_path)
    with pytest.raises(UserErrorException, match="there is no folder"):
        found.save(tmp_path / "none" / "env.yml")


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda d: d.add_conda_package("numpy = = 1"), r"'numpy = = 1' is not a conda requirement: write a name"),
        (lambda d: d.add_conda_package(3.10), "a conda package is 3.1, where a text belongs"),
        (lambda d: d.add_pip_package("-r other.txt"), "is an option and no pip package: use set_pip_option"),
        (lambda d: d.add_pip_package(""), "a pip package is '', where a text belongs"),
        (lambda d: d.set_pip_option("six"), "'six' is no option of pip: one begins with '-'"),
        (lambda d: d.set_python_version(3.10), "3.1 is not a version of Python: write it as text, as in '3.11'"),
        (lambda d: d.set_python_version("latest"), "'latest' is not a version of Python"),
        (lambda d: d.set_pip_requirements("six"), r"pip_requirements is 'six', where a list belongs, as in \['numpy'"),
    ],
)
def test_what_is_refused_at_once(break_it: Callable[[CondaDependencies], None], words: str) -> None:
    with pytest.raises(UserErrorException, match=words):
        break_it(CondaDependencies())


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("not a requirement", "'not a requirement' is not a pip requirement"),
        ("./here", "'./here' would install a folder of this machine"),
    ],
)
def test_what_is_refused_when_it_is_used(package: str, words: str) -> None:
    environment = Environment("mine")
    environment.python.conda_dependencies.add_pip_package(package)
    with pytest.raises(EnvironmentSpecificationError) as caught:
        environment.resolve("auto")
    assert words in str(caught.value) and "CondaDependencies, line 7" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- python\n", "a conda specification is a mapping with 'dependencies'"),
        ("dependencies:\n\t- python\n", "line 2: a tab in the indentation"),
        ("dependencys: [python]\n", "unknown key 'dependencys'; a conda specification has the keys"),
        ("name: x\n", "there is no 'dependencies'"),
        ("", "is empty"),
        (
            "dependencies: [python=3.11, python<3.13]\n",
            "'python<3.13' stands beside 'python=3.11'; write what is asked",
        ),
        ("dependencies: [python]\nchannels: ['']\n", "an entry of 'channels' is '', where a text belongs"),
        ("dependencies: [python]\nvariables: {'A=B': 1}\n", "line 2: 'A=B' cannot be a variable: a name has no '='"),
    ],
)
def test_files_that_are_broken(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "env.yml"
    path.write_text(text)
    for read in (CondaDependencies, lambda file: Environment("x").python.__setattr__("conda_dependencies_file", file)):
        with pytest.raises(EnvironmentSpecificationError) as caught:
            read(path)
        assert words in str(caught.value) and str(path) in str(caught.value)


def test_an_environment_s_packages_are_one_truth(tmp_path: Path) -> None:
    (tmp_path / "env.yml").write_text("dependencies:\n  - python=3.10\n  - pip:\n    - six\n")
    environment = Environment.from_conda_specification("mine", tmp_path / "env.yml")
    before = environment.python.specification
    environment.python.conda_dependencies.add_pip_package("iniconfig")
    after = environment.python.specification
    assert before is not None and after is not None
    assert after.pip == ("six", "iniconfig") and after.conda == before.conda
    environment.python.specification = before
    assert list(environment.python.conda_dependencies.pip_packages) == ["six"]
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["attrs"])
    assert environment.python.specification is not None and environment.python.specification.pip == ("attrs",)
    environment.python.conda_dependencies_file = str(tmp_path / "env.yml")
    assert environment.python.specification == before and environment.python.conda_dependencies_file
    with pytest.raises(UserErrorException, match="it takes a CondaDependencies"):
        environment.python.conda_dependencies = ["six"]  # type: ignore[assignment]


def test_looking_at_a_plain_environment_asks_for_nothing_and_changing_it_does() -> None:
    environment = Environment("mine")
    assert list(environment.python.conda_dependencies.conda_packages) == [PYTHON]
    assert environment.uses_own_interpreter and environment.python.specification is None
    environment.python.conda_dependencies.add_pip_package("six")
    assert environment.python.specification is not None and not environment.uses_own_interpreter
    plain = Environment("given")
    plain.python.conda_dependencies = CondaDependencies()
    assert plain.python.specification is not None, "what was set counts, even with nothing but Python in it"


def test_a_run_configuration_takes_them() -> None:
    configuration = RunConfiguration(conda_dependencies=CondaDependencies.create(pip_packages=["six"]))
    specification = configuration.environment.python.specification
    assert specification is not None and specification.pip == ("six",)
