from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.environments.spec import EnvironmentSpec
from toolkit.environments.specification_file import load_conda_specification, load_pip_requirements, validate
from toolkit.errors import EnvironmentSpecificationError

WHOLE = """\
name: project_environment
channels:
  - pytorch
  - conda-forge
dependencies:
  - python=3.10  # the tutorial's
  - numpy>=1.24,<2
  - conda-forge::mkl=2021.4.0=h06a4308_640
  - pip:
    - torch==2.13.0
    - --extra-index-url https://mirror.invalid/simple
    - -r more.txt
variables:
  LEVEL: 1.0
  FLAG: yes
prefix: /somewhere/else
"""


def test_whole_specification(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("tqdm  # bars\n\n-c versions.txt\npandas \\\n  >=2\n")
    (tmp_path / "versions.txt").write_text("numpy==1.26.4\n")
    file = tmp_path / "environment.yml"
    file.write_text(WHOLE)
    spec = load_conda_specification(file)
    assert spec.conda == ("python=3.10", "numpy>=1.24,<2", "conda-forge::mkl=2021.4.0=h06a4308_640")
    assert spec.pip == ("torch==2.13.0", "--extra-index-url https://mirror.invalid/simple", "tqdm", "pandas   >=2")
    assert spec.constraints == ("numpy==1.26.4",)
    assert spec.environment_variables == {"LEVEL": "1.0", "FLAG": "yes"}
    assert EnvironmentSpec.from_dict(spec.to_dict()) == spec
    hash(spec)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["is empty", "dependencies"]),
        ("- python", ["line 1", "is a mapping with 'dependencies'"]),
        ("name: x", ["there is no 'dependencies'"]),
        ("dependencies:\n\t- python", ["line 2", "a tab", "use spaces"]),
        ("dependencies: [python", ["this is not YAML"]),
        ("dependencies:\n- !!python/object/apply:os.system ['true']", ["line 2", "!!python/object", "refused"]),
        ("dependencies:\n- python\nmirror: x", ["line 3", "unknown key 'mirror'", "channel_priority", "variables"]),
        ("dependencies: python", ["line 1", "'dependencies' is 'python'", "where a list belongs"]),
        ("dependencies:\n- 3.9", ["line 2", "the float 3.9", "where a text"]),
        ("dependencies:\n- python: 3.9", ["line 2", "a mapping", "'python=1.2'"]),
        ("dependencies:\n- pip:\n  - a\n- pip:\n  - b", ["line 4", "second 'pip:'"]),
        ("dependencies:\n- python=3.x.y.z!!", ["line 2", "'python=3.x.y.z!!'", "not a conda requirement"]),
        ("dependencies:\n- python=3.x", ["line 2", "'python=3.x'", "not a version of Python"]) ,
        ("dependencies:\n- num py 1", ["line 2", "'num py 1'"]),
        ("dependencies:\n- pip:\n  - num py", ["line 3", "'num py' is not a pip requirement"]),
        ("dependencies:\n- pip:\n  - -e .", ["line 3", "source_directory"]),
        ("dependencies:\n- pip:\n  - -r gone.txt", ["line 3", "gone.txt", "does not exist"]),
        ("dependencies:\n- pip:\n  - --weird", ["line 3", "'--weird' is not taken"]),
        ("dependencies:\n- pip: 3", ["line 2", "'pip' is the int 3"]),
        ("dependencies: []\ndependencies: []", ["line 2", "second time"]),
        ("dependencies: []\nchannels: x", ["line 2", "'channels' is 'x'"]),
        ("dependencies: []\nvariables: [A]", ["line 2", "'variables' is a list"]),
        ("dependencies: []\nchannel_priority: high", ["line 2", "strict, flexible or disabled"]),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place(tmp_path: Path, text: str, words: list[str]) -> None:
    file = tmp_path / "environment.yml"
    file.write_text(text)
    with pytest.raises(EnvironmentSpecificationError) as caught:
        load_conda_specification(file)
    message = str(caught.value)
    assert str(file) in message
    for word in words:
        assert word in message, message


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentSpecificationError, match="does not exist; relative paths count from"):
        load_conda_specification(tmp_path / "environment.yml")


def test_pip_requirements(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("# needed\n\nNumPy[x]==1.26.4 ; python_version < '3.13'\n-c limits.txt\n--find-links wheels\n")
    (tmp_path / "limits.txt").write_text("scipy<2\n")
    spec = load_pip_requirements(file)
    assert spec.conda == ("pip",)
    assert spec.pip == ("NumPy[x]==1.26.4 ; python_version < '3.13'", f"--find-links {tmp_path / 'wheels'}")
    assert spec.constraints == ("scipy<2",)


def test_files_that_include_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-r b.txt\n")
    (tmp_path / "b.txt").write_text("-r a.txt\n")
    with pytest.raises(EnvironmentSpecificationError, match="do the files include each other"):
        load_pip_requirements(tmp_path / "a.txt")


def test_specifications_from_code_are_checked_too() -> None:
    with pytest.raises(EnvironmentSpecificationError, match="the environment's pip packages: 'num py'"):
        validate(EnvironmentSpec(pip=("num py",)))
    with pytest.raises(EnvironmentSpecificationError, match="package_source is 'npm': it can be one of 'auto'"):
        EnvironmentSpec(package_source="npm")
    with pytest.raises(EnvironmentSpecificationError, match="unknown fields nmae"):
        EnvironmentSpec.from_dict({"nmae": "x"})
