"""A store of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.environments.store import Store, store


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store, which `toolkit.paths.home()` leads to."""
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / "home"))
    made = store()
    made.make_folders()
    return made
