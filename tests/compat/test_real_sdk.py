"""A real SDK in the environment: named once, used unless the toolkit's names are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat.conftest import Python

CODE = "import azureml.core, azureml.core.run; print(azureml.core.VERSION, azureml.core.__file__)"


@pytest.fixture
def real(tmp_path: Path) -> str:
    """A folder of installed packages with azureml-core, as pip lays it out."""
    packages = tmp_path / "site-packages"
    core = packages / "azureml" / "core"
    core.mkdir(parents=True)
    (packages / "azureml_core-1.55.0.dist-info").mkdir()
    (packages / "azureml" / "__init__.py").write_text(
        "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"
    )
    (core / "__init__.py").write_text("VERSION = 'real'\n")
    (core / "run.py").write_text("")
    return str(packages)


@pytest.fixture
def interpret(tmp_path: Path) -> str:
    """A folder of installed packages with a part of the SDK that leaves `azureml.core` to others."""
    packages = tmp_path / "others"
    for place in ("azureml/interpret", "azureml/train/automl"):
        (packages / place).mkdir(parents=True)
        (packages / place / "__init__.py").write_text("KIND = 'real'\n")
    return str(packages)


def test_a_real_sdk_is_named_once_and_used(script: Python, control: Python, real: str) -> None:
    for python in (script, control):
        said = python(
            f"{CODE}; import subprocess, sys; subprocess.run([sys.executable, '-c', 'import azureml.core'])", real
        )
        out, told = said.splitlines()
        assert out.startswith("real ")
        assert told == (
            f"toolkit: Azure's own SDK is installed (azureml-core 1.55.0 in {real}) and is used: what it logs does not "
            "reach the toolkit. To take the toolkit's azureml names instead, set the environment variable "
            "TOOLKIT_AZUREML=toolkit"
        )


def test_the_toolkit_s_names_where_they_are_asked_for(script: Python, real: str) -> None:
    out, told = script(CODE, real, TOOLKIT_AZUREML="toolkit").splitlines()
    assert out.startswith("1.61.0 ")
    assert told == (
        "toolkit: the azureml names are the toolkit's; Azure's own SDK is installed as well "
        f"(azureml-core 1.55.0 in {real})"
    )


def test_parts_without_the_core_stay_beside_ours(script: Python, interpret: str) -> None:
    code = f"""
{CODE}
import azureml.interpret, azureml.train.automl, azureml.train.hyperdrive
print(azureml.interpret.KIND, azureml.train.automl.KIND)
try:
    import azureml.datadrift
except ImportError:
    print("not offered")
"""
    lines = script(code, interpret).splitlines()
    assert lines[0].startswith("1.61.0 ") and lines[1:] == ["real real", "not offered"]


def test_a_run_of_a_control_script_in_a_run_is_ours(script: Python, control: Python) -> None:
    """Another copy of the toolkit's names on the path is none of Azure's."""
    from toolkit import compat

    assert "toolkit:" not in script(CODE, compat.FOLDER)
