"""A store of its own for each test, and parts that are made once."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from toolkit.environments.store import Store, store

_RIG = Path(__file__).resolve().parent.parent / "rig"


def _load(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"rig_{name}", _RIG / f"{name}.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store, which `toolkit.paths.home()` leads to."""
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / "home"))
    return store()


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture(scope="session")
def conda_channel() -> ModuleType:
    return _load("conda_channel")


@pytest.fixture(scope="session")
def torch_pair() -> ModuleType:
    return _load("torch_pair")


@pytest.fixture(scope="session")
def channel(tmp_path_factory: pytest.TempPathFactory, conda_channel: ModuleType) -> Path:
    """A conda channel with this Python and `greeting`."""
    made: Path = conda_channel.make(tmp_path_factory.mktemp("channel") / "rig")
    return made
