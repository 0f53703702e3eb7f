from __future__ import annotations

from pathlib import Path

import pytest

from tests.images.making import Built, request
from toolkit.environments.build import ensure
from toolkit.environments.explain import explain
from toolkit.environments.request import Request
from toolkit.environments.spec import EnvironmentSpec
from toolkit.environments.store import Store
from toolkit.images import layers
from toolkit.images.engine import connect


def _files(place: Store) -> set[Path]:
    return set(place.root.rglob("*"))


def test_an_image(place: Store, engine: str, base_image: str, channel: Path) -> None:
    asked = request(engine, base_image, channel, ("python", "greeting"), ("iniconfig",))
    before = "\n".join(explain(asked))
    assert "would be looked at" in before and "none yet on this machine" in before
    built = Built(asked)
    files = _files(place)
    assert explain(asked)[0] == f"the image is there, and nothing is built: {built.image.id}"
    connect(engine).images.remove(built.image.id, force=True)
    after = "\n".join(explain(asked))
    assert "this engine does not have it (any more)" in after
    assert f"lock: {built.image.lock_hash} of an earlier solve" in after
    assert "reused: 3 packages that are ready for images" in after
    assert "sent to the engine:" in after and "below them" in after
    assert _files(place) == files


def test_a_prefix(place: Store) -> None:
    spec = EnvironmentSpec(pip=("iniconfig",))
    asked = Request(spec.key(), spec)
    assert "would be solved" in "\n".join(explain(asked))
    prefix = ensure(asked, [].append)
    assert explain(asked)[0] == f"the environment is there, and nothing is built: {prefix}"


def test_layers_that_are_not_known_before_a_large_package_is_laid_out_again(
    place: Store, engine: str, base_image: str, channel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(engine, base_image, channel, ("python", "greeting"), ("iniconfig",))
    connect(engine).images.remove(Built(asked).image.id, force=True)
    monkeypatch.setattr(layers, "MOST", 0)  # as on a base with very many layers
    assert explain(asked)[-1] == "sent to the engine: the layers that it lacks"
