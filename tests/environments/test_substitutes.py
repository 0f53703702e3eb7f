from __future__ import annotations

import re

import pytest

from toolkit.environments import offered
from toolkit.environments.spec import EnvironmentSpec
from toolkit.environments.substitutes import pypi_names, substitute
from toolkit.errors import EnvironmentBuildError


def test_pins_in_pip_words() -> None:
    found = substitute(("python=3.10", "pytorch=2.1=py3_cpu", "numpy>=1.24,<2", "cudatoolkit=11", "py-opencv", "pip"))
    assert found.pip == ("torch==2.1.*", "numpy>=1.24,<2", "opencv-python-headless", "pip")
    assert ("cudatoolkit=11", "") in found.pairs
    notices = "\n".join(found.notices)
    assert "conda's 'cudatoolkit=11' is left out" in notices
    assert "the build 'py3_cpu' of 'pytorch=2.1=py3_cpu' is left out" in notices
    assert "'pip'" not in notices


def test_unknown_names_are_named() -> None:
    with pytest.raises(EnvironmentBuildError, match=r"conda packages r-base, zzz=1: move them to the 'pip:' section"):
        substitute(("numpy", "r-base", "zzz=1"))


def test_versions_that_pip_cannot_express() -> None:
    with pytest.raises(EnvironmentBuildError, match="no 'or' between versions"):
        substitute(("numpy=1.24|1.26",))


def test_the_table_holds_names() -> None:
    names = pypi_names()
    assert len(names) > 200
    for conda, pypi in names.items():
        assert re.fullmatch(r"[a-z0-9_][a-z0-9_.-]*", conda), conda
        assert re.fullmatch(r"([a-z0-9][a-z0-9_.-]*)?", pypi), pypi


def test_packages_of_the_sdk_are_left_out() -> None:
    spec = EnvironmentSpec(conda=("python", "azureml-sdk=1.14"), pip=("azureml-defaults>=1", "azureml_core", "azure"))
    kept, notices = offered.drop(spec)
    assert (kept.conda, kept.pip) == (("python",), ("azure",))
    assert notices == (
        "left out azureml-sdk=1.14, azureml-defaults>=1, azureml_core: "
        "nothing of it is needed, every run has `from toolkit import Run`",
    )
