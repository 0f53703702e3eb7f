"""Which engine is meant."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.errors import ContainerEngineError
from toolkit.images import engine


@pytest.fixture(autouse=True)
def docker_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's own configuration, with the context "rootless"."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"rootless").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    endpoints = {"docker": {"Host": "unix:///run/user/1000/docker.sock"}}
    meta.write_text(json.dumps({"Name": "rootless", "Metadata": {}, "Endpoints": endpoints}))
    return tmp_path


def test_the_context_that_docker_uses(docker_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (docker_folder / "config.json").write_text('{"currentContext": "rootless"}')
    assert engine.address() == "unix:///run/user/1000/docker.sock"
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert engine.address() == engine.DEFAULT
    monkeypatch.setenv("DOCKER_HOST", "tcp://there:1")
    assert engine.address() == "tcp://there:1"
    assert engine.address("unix:///mine") == "unix:///mine"


def test_the_variable_alone_names_a_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "rootless")
    assert engine.address() == "unix:///run/user/1000/docker.sock"


def test_a_context_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    with pytest.raises(ContainerEngineError, match="there is no Docker context 'gone', which DOCKER_CONTEXT or "):
        engine.address()


@pytest.mark.parametrize("text", ['{"auths": {}}', '{"currentContext": ""}', "[]", "no JSON"])
def test_without_a_context_it_is_docker_s_own_socket(docker_folder: Path, text: str) -> None:
    (docker_folder / "config.json").write_text(text)
    assert engine.address() == engine.DEFAULT
    code = "import sys; from toolkit.images import engine; engine.address(); assert 'docker' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
