"""`Environment.from_existing_conda_environment`, with stand-ins for conda on the PATH."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit import Environment, EnvironmentSpecificationError

EXPORT = """\
name: trained
channels:
  - conda-forge
dependencies:
  - python=3.11.7
  - numpy=1.26.4
  - pip:
    - six==1.16.0
variables:
  A: '1'
prefix: /opt/conda/envs/trained
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH on which there is nothing yet."""
    monkeypatch.delenv("CONDA_EXE", raising=False)
    monkeypatch.delenv("MAMBA_EXE", raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def conda(path: Path, name: str = "conda", export: str = EXPORT, code: int = 0) -> Path:
    """A stand-in that knows one environment and writes down how it was asked."""
    (path / "export.yml").write_text(export)
    script = path / name
    script.write_text(
        f"""#!/bin/sh
echo "$@" >> {path}/asked
case "$2" in
list) echo '{{"envs": ["/opt/conda", "/opt/conda/envs/trained"]}}' ;;
export) /bin/cat {path}/export.yml
    [ {code} = 0 ] || {{ echo 'it broke' >&2; exit {code}; }} ;;
esac
"""
    )
    script.chmod(0o755)
    return script


@pytest.mark.parametrize(
    ("name", "flag"), [("conda", "--no-builds"), ("mamba", "--no-builds"), ("micromamba", "--no-build")]
)
def test_exported(path: Path, name: str, flag: str) -> None:
    conda(path, name)
    environment = Environment.from_existing_conda_environment("mine", "trained")
    assert environment is not None and environment.python.specification is not None
    assert environment.python.specification.conda == ("python=3.11.7", "numpy=1.26.4")
    assert environment.python.specification.pip == ("six==1.16.0",)
    assert environment.environment_variables == {"A": "1"}
    assert f"env export {flag} --name trained" in (path / "asked").read_text()


def test_by_the_variable_that_conda_sets(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("CONDA_EXE", str(conda(tmp_path / "elsewhere")))
    assert Environment.from_existing_conda_environment("mine", "trained") is not None


def test_without_conda(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Environment.from_existing_conda_environment("mine", "trained") is None
    assert "there is no conda, mamba or micromamba on the PATH" in capsys.readouterr().out


def test_one_that_is_not_there(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conda(path)
    assert Environment.from_existing_conda_environment("mine", "other") is None
    assert "conda has no environment 'other'; it has: base, trained" in capsys.readouterr().out


def test_an_export_that_fails(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conda(path, code=3)
    assert Environment.from_existing_conda_environment("mine", "trained") is None
    assert "failed with exit code 3: it broke" in capsys.readouterr().out


def test_an_export_that_no_environment_can_keep(path: Path) -> None:
    conda(path, export="dependencies:\n- python=3.11\n- pip:\n  - -e /home/me/project\n")
    with pytest.raises(EnvironmentSpecificationError, match="would install a folder of this machine"):
        Environment.from_existing_conda_environment("mine", "trained")
