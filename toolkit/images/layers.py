"""Parts of packages, put together to layers so that a small change leaves the layers below it as they are.

The files of large packages come first, a layer each, so that an engine can take them while bytecode is still compiled.
Of the rest, large parts are a layer each, the largest first, then come those of middle size in one layer, then the
small ones; last is what depends on all packages. An engine keeps a layer for as long as all below it are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from toolkit.environments.store import Store
from toolkit.images import fragments
from toolkit.images.fragments import END, Part

MOST = 61
"""Layers of an image, those of its base included: engines and kernels take 125 or so."""

_ALONE = 10_000_000
_SMALL = 500_000
_GROUPS = 5

Source = Callable[[Part], Iterator[bytes]]
"""Gives the members of a part that is not kept."""


@dataclass(frozen=True)
class Layer:
    """A layer.

    Args:
        digest: SHA-256 of its archive, in hex.
        size: of its archive, in bytes.
        title: what it holds, in a few words.
        first: the members in front: folders, or all that it holds.
        parts: what it is put together from.
        left_out: the members of a kept part that a later one has as well: where they begin and end in its file.
    """

    digest: str
    size: int
    title: str
    first: bytes
    parts: tuple[Part, ...] = ()
    left_out: dict[Part, list[tuple[int, int]]] = field(default_factory=dict)

    def blocks(self, store: Store, source: Source) -> Iterator[bytes]:
        """Its archive, in pieces."""
        yield self.first
        for part in self.parts:
            if part in self.left_out:
                yield from _without(part.file(store).read_bytes(), self.left_out[part])
            else:
                yield from fragments.read(part.file(store)) if part.kept else source(part)
        yield END


def compose(
    conda: Sequence[Part], wheels: Sequence[Part], metadata: bytes, below: int, store: Store, source: Source
) -> list[Layer]:  # fmt: skip
    """The layers of an image, from the first above its base on.

    Args:
        metadata: the members of the last layer.
        below: how many layers the base has.
        source: where the parts come from that are not kept.
    """
    first = foundation((*conda, *wheels), below)
    large = _by_size(part for part in (*conda, *wheels) if part.size >= _ALONE and part.kept)
    alone = large[: _room(below) - len(first)]
    layers = [*first, *map(_alone, alone)]
    placed = {layer.digest for layer in layers}
    for words, middle in (("middle-sized", True), ("small", False)):
        for kind, group in (("conda", conda), ("pip", wheels)):
            rest = (part for part in group if part.digest not in placed and part.size)
            chosen = tuple(part for part in rest if (part.size >= _SMALL) == middle)
            if chosen:
                layers.append(_group(f"{words} {kind} packages", chosen, store, source))
    digest = hashlib.sha256(metadata + END).hexdigest()
    return [*layers, Layer(digest, len(metadata) + len(END), "metadata", metadata)]


def foundation(parts: Iterable[Part], below: int) -> list[Layer]:
    """The first layers of an image: the parts that are not kept, which are the files of large packages."""
    return [_alone(part) for part in _by_size(part for part in parts if not part.kept)[: _room(below)]]


def _room(below: int) -> int:
    return max(0, MOST - below - _GROUPS)


def _by_size(parts: Iterable[Part]) -> list[Part]:
    return sorted(parts, key=lambda part: (-part.size, part.digest))


def _alone(part: Part) -> Layer:
    first = fragments.headers(part.folders)
    return Layer(part.digest, len(first) + part.size + len(END), f"{part.package}, {part.kind}", first, (part,))


def _group(title: str, parts: tuple[Part, ...], store: Store, source: Source) -> Layer:
    first = fragments.headers(sorted({folder for part in parts for folder in part.folders}))
    left_out = _doubled(parts, store)
    size = len(first) + sum(part.size for part in parts) + len(END)
    size -= sum(end - begin for ranges in left_out.values() for begin, end in ranges)
    layer = Layer("", size, title, first, parts, left_out)
    digest = hashlib.sha256()
    for piece in layer.blocks(store, source):
        digest.update(piece)
    return replace(layer, digest=digest.hexdigest())


def _doubled(parts: tuple[Part, ...], store: Store) -> dict[Part, list[tuple[int, int]]]:
    """The members whose names a later part has as well: engines refuse a layer with two of one name."""
    seen: set[str] = set()
    doubled: dict[Part, list[tuple[int, int]]] = {}
    for part in reversed([one for one in parts if one.kept]):
        for name, begin, end in fragments.members(part.file(store)):
            if name in seen:
                doubled.setdefault(part, []).append((begin, end))
            seen.add(name)
    return doubled


def _without(content: bytes, ranges: list[tuple[int, int]]) -> Iterator[bytes]:
    position = 0
    for begin, end in ranges:
        yield content[position:begin]
        position = end
    yield content[position:]
