"""Layers of parts of packages: plain files, no container engine."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator

import pytest

from toolkit.environments.store import Store
from toolkit.images import fragments, layers
from toolkit.images.fragments import Entry, Part
from toolkit.images.layers import Layer

METADATA = b"".join(fragments.blocks([Entry("opt/env/lock.json", content=b"{}")]))


def _part(place: Store, name: str, size: int, *names: str) -> Part:
    entries = [Entry(f"opt/env/{one}", content=name.encode().ljust(size, b".")) for one in names or (name,)]
    return fragments.make(
        name,
        name,
        "content",
        lambda: fragments.blocks(entries),
        size,
        ("opt", "opt/env"),
        place,
        keep=size < 20_000_000,
    )


def _compose(place: Store, conda: list[Part], wheels: list[Part], below: int = 1) -> list[Layer]:
    return layers.compose(conda, wheels, METADATA, below, place, _large)


def _large(part: Part) -> Iterator[bytes]:
    return fragments.blocks([Entry(f"opt/env/{part.package}", content=part.package.encode().ljust(21_000_000, b"."))])


def _archive(layer: Layer, place: Store) -> bytes:
    return b"".join(layer.blocks(place, _large))


def _members(layer: Layer, place: Store) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(_archive(layer, place))) as archive:
        return archive.getnames()


def test_large_parts_come_first_and_alone(place: Store) -> None:
    conda = [_part(place, "small", 1000), _part(place, "huge", 21_000_000), _part(place, "middle", 600_000)]
    wheels = [_part(place, "wheel", 1000), _part(place, "big", 13_000_000), _part(place, "bigger", 14_000_000)]
    composed = _compose(place, conda, wheels)
    assert [layer.title for layer in composed] == [
        "huge, content", "bigger, content", "big, content", "middle-sized conda packages", "small conda packages",
        "small pip packages", "metadata",
    ]  # fmt: skip
    assert layers.foundation([*conda, *wheels], 1) == composed[:1]
    for layer in composed:
        archive = _archive(layer, place)
        assert len(archive) == layer.size
        assert hashlib.sha256(archive).hexdigest() == layer.digest
    assert _members(composed[0], place) == ["opt", "opt/env", "opt/env/huge"]


def test_a_small_change_leaves_the_layers_below(place: Store) -> None:
    common = [_part(place, "huge", 21_000_000), _part(place, "big", 13_000_000), _part(place, "middle", 600_000)]
    before = _compose(place, common, [_part(place, "a", 1000), _part(place, "b", 1000)])
    after = _compose(place, common, [_part(place, "a", 1000), _part(place, "c", 1000)])
    assert before[:3] == after[:3] and before[3].digest != after[3].digest


def test_no_name_is_twice_in_a_layer(place: Store) -> None:
    """Engines refuse that; the later package's file is the one that stays."""
    parts = [_part(place, "a", 1000, "own-a", "shared"), _part(place, "b", 1000, "own-b", "shared")]
    group = _compose(place, [], parts)[0]
    assert _members(group, place) == ["opt", "opt/env", "opt/env/own-a", "opt/env/own-b", "opt/env/shared"]
    archive = _archive(group, place)
    assert len(archive) == group.size and hashlib.sha256(archive).hexdigest() == group.digest
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        shared = opened.extractfile("opt/env/shared")
        assert shared is not None and shared.read(1) == b"b"


@pytest.mark.parametrize("below", [1, 50, 100])
def test_there_are_never_too_many_layers(place: Store, below: int) -> None:
    parts = [_part(place, f"p{number}", 10_000_001 + number) for number in range(70)]
    assert len(_compose(place, parts, [], below)) <= max(layers.MOST - below, 5)


def test_names_of_all_kinds(place: Store) -> None:
    long = "opt/env/" + "/".join(["folder" * 10] * 4) + "/ä.txt"
    entries = [Entry(long, content=b"x"), Entry("opt/env/link", 0o777, link="a" * 150)]
    part = fragments.make(
        "p", "p", "content", lambda: fragments.blocks(entries), 1, fragments.folders([long, "opt/env/link"]), place
    )
    assert _members(_compose(place, [], [part])[0], place)[-2:] == [long, "opt/env/link"]


@pytest.mark.parametrize("name", ["opt/a", "opt/" + "ä" * 48, "opt/" + "x" * 96, "opt/" + "x" * 97])
def test_headers_are_those_of_tarfile(name: str) -> None:
    entries = (Entry(name, 0o755, content=b"abc"), Entry(name, 0o777, link="../b"), Entry(name + "/", 0o755))
    for entry in entries:
        member = tarfile.TarInfo(name)
        member.mode = entry.mode
        if entry.link:
            member.type, member.linkname = tarfile.SYMTYPE, entry.link
        elif entry.content:
            member.size = len(entry.content)
        else:
            member.type = tarfile.DIRTYPE
        wanted = member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        assert next(iter(fragments.blocks([entry])))[: len(wanted)] == wanted
