from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.environments.spec import EnvironmentSpec

SPEC = EnvironmentSpec(channels=("a", "b"), conda=("python=3.10", "numpy"), pip=("iniconfig", "tqdm"))


def test_what_makes_no_difference() -> None:
    assert len(SPEC.key()) == 64
    for same in (
        replace(SPEC, conda=("numpy", " python=3.10")),
        replace(SPEC, pip=("tqdm", "iniconfig", "azureml-defaults==1.61")),
        replace(SPEC, variables=(("A", "1"),)),
    ):
        assert same.key() == SPEC.key()


def test_what_makes_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {SPEC.key(), SPEC.key(gpu=True)}
    for other in (
        replace(SPEC, pip=("iniconfig",)),
        replace(SPEC, channels=("b", "a")),
        replace(SPEC, package_source="pypi"),
        replace(SPEC, constraints=("tqdm<5",)),
    ):
        keys.add(other.key())
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.invalid/simple")
    keys.add(SPEC.key())
    assert len(keys) == 7


def test_credentials_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = set()
    for token in ("one", "two"):
        monkeypatch.setenv("PIP_INDEX_URL", f"https://user:{token}@mirror.invalid/simple")
        keys.add(SPEC.key())
    assert len(keys) == 1


def test_a_wheel_that_was_built_again_is_another_one(tmp_path: Path) -> None:
    wheel = tmp_path / "mine-1-py3-none-any.whl"
    wheel.write_bytes(b"1")
    spec = EnvironmentSpec(pip=(wheel.as_uri(),))
    before = spec.key()
    wheel.write_bytes(b"22")
    assert spec.key() != before


def test_credentials_do_not_count() -> None:
    """So that a new token builds nothing anew, and that whoever got a definition without them has the same key."""

    def key(credentials: str) -> str:
        index = f"--extra-index-url https://{credentials}pypi.invalid/simple"
        return EnvironmentSpec((f"https://{credentials}conda.invalid/channel",), ("python",), (index, "six")).key()

    assert key("me:one@") == key("me:two@") == key("")
