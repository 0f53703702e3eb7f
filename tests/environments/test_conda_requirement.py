from __future__ import annotations

import pytest

from toolkit.environments.conda_requirement import CondaRequirement, parse


@pytest.mark.parametrize(
    ("text", "name", "pip"),
    [
        ("numpy", "numpy", ("",)),
        ("numpy=1.26", "numpy", ("==1.26.*",)),
        ("numpy==1.26.4", "numpy", ("==1.26.4",)),
        ("python 3.9.*", "python", ("==3.9.*",)),
        ("Python >=3.10, <3.14", "python", (">=3.10,<3.14",)),
        ("python=3.8|3.9.*", "python", ("==3.8.*", "==3.9.*")),
        ("pip=21.*", "pip", ("==21.*",)),
        ("defaults::pytorch=1.6.0=py3.6_cpu_0", "pytorch", ("==1.6.0.*",)),
        ("pytorch[version='>=1.8,<2', build=cpu*]", "pytorch", (">=1.8,<2",)),
        ("numpy=*", "numpy", ("",)),
    ],
)
def test_entries(text: str, name: str, pip: tuple[str, ...]) -> None:
    requirement = parse(text)
    assert requirement.name == name
    assert requirement.pip_versions == pip


def test_parts() -> None:
    assert parse("conda-forge::mkl=2021.4=h06_640") == CondaRequirement(
        "conda-forge::mkl=2021.4=h06_640", "mkl", "=2021.4", "h06_640", "conda-forge"
    )


@pytest.mark.parametrize("text", ["", "=1.2", "num py", "python=3.x!!", "numpy=>1", "a b c d"])
def test_junk(text: str) -> None:
    with pytest.raises(ValueError, match="is not a conda requirement"):
        parse(text)
