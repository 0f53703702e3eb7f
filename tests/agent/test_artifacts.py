"""Which files of a run become artifacts, and under which names."""

from __future__ import annotations

import pytest

from toolkit.agent.artifacts import artifact_name


@pytest.mark.parametrize("name", ["outputs/model.pt", "a b/ümläut.txt", "x-1_2.tar.gz"])
def test_a_name_that_survives_a_url_is_kept(name: str) -> None:
    assert artifact_name(name) == name


def test_names_that_a_url_would_cut_stay_apart() -> None:
    names = ["outputs/a#1.txt", "outputs/a#2.txt", "outputs/a?1.txt", "outputs/a%231.txt", "outputs/a_1.txt"]
    kept = [artifact_name(name) for name in names]
    assert len({*kept}) == len(names)
    assert all(name.endswith(".txt") and not set("#?%") & set(name) for name in kept)
