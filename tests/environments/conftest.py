"""A store of its own for each test, and parts that are made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rig import conda_channel
from toolkit.environments.store import Store, store


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store, which `toolkit.paths.home()` leads to."""
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / "home"))
    made = store()
    made.make_folders()
    return made


@pytest.fixture(scope="session")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conda channel with this Python and `greeting`."""
    return conda_channel.make(tmp_path_factory.mktemp("channel") / "rig")
