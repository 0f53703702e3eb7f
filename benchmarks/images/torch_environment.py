"""A torch environment: cold, after a small package changed, unchanged; what is sent, and what comes after the build.

Torch is the CPU build that pip's find-links hold, torchvision the rig's build for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.bench import Bench
from benchmarks.figure import Line, at_most, at_most_times
from benchmarks.images import bases, dockerfiles, engine, index, packages
from benchmarks.images.contest import OURS, Contest
from benchmarks.images.ours import Ours
from benchmarks.images.registry_transfer import transfer
from benchmarks.interleave import in_turn, medians
from tests.rig import torch_pair

TITLE = "image of a torch environment"

_PEERS = (dockerfiles.PIP, dockerfiles.UV, dockerfiles.UV_BARE, dockerfiles.CLASSIC_UV)
_SLOW = (dockerfiles.CLASSIC_UV,)
_SENT = "sent to the engine after a small package changed, of the image"
_IMPORT = "import time; began = time.perf_counter(); import torch; print(time.perf_counter() - began)"


def measure(bench: Bench) -> Iterator[Line]:
    """Gigabytes each: few times."""
    with engine.connect(bench) as docker:
        bench.say("base image and packages")
        base = bases.python(docker, bench.scratch)
        served, pair = bench.folder("index"), bench.scratch / "pair"
        torch_pair.make(pair)
        wanted = packages.torch(pair)
        packages.fetch(wanted, bases.python_version(docker, base), served, [pair])
        with index.serve(served) as address:
            ours = Ours(docker, bench.scratch / "ours", address, base)
            contest = Contest(bench, docker, wanted, ours, _PEERS, base, address)
            yield from _builds(contest)
            yield from _first_import(contest)
            yield from transfer(contest, dockerfiles.UV)


def _builds(contest: Contest) -> Iterator[Line]:
    times, how = contest.bench.times, "torch environment (by pip, for the base's Python)"
    cold = contest.cold(times(2, 1), _SLOW)
    yield from contest.lines(f"{how}, cold", cold, "cold", at_most_times(1))
    changed = contest.changed(times(2, 1), _SLOW)
    yield from contest.lines(f"{how}, a small package changed", changed, "changed", at_most_times(0.2))
    if contest.ours.sent:
        yield from _sent(contest)
    goal = at_most(0.1, "s")
    unchanged = contest.unchanged(times(5, 2))
    yield from contest.lines(f"{how}, unchanged: the process that builds", unchanged, "unchanged", goal, goal)
    looked = medians(in_turn({OURS: contest.ours.look}, times(7, 2), contest.missing))
    note = "in the process that submits; each time a new one, its imports not counted"
    yield Line(f"{how}, unchanged: looked up by a submit", looked.get(OURS), None, "", "s", goal, note)


def _sent(contest: Contest) -> Iterator[Line]:
    """What the engine was sent, and what a peer's build made anew: all above the base, since that is one step."""
    docker, sent = contest.engine, contest.ours.sent * 1e6
    size, below = docker.size(contest.ours.image), docker.size(contest.base)
    for peer in contest.left():
        there = docker.size(contest.tag(peer))
        note = f"ours: {sent / 1e6:.2f} of {size / 1e6:.0f} MB; the peer's: what its build made anew"
        yield Line(_SENT, 100 * sent / size, 100 * (there - below) / there, peer.name, "%", at_most(2, "%"), note)


def _first_import(contest: Contest) -> Iterator[Line]:
    """In new containers of images that are there; for information where the peer's has no bytecode."""

    def seconds(image: str, python: str) -> float:
        said = contest.engine.docker("run", "--rm", "--network=none", image, python, "-c", _IMPORT)
        return float(said.split()[-1])

    measures: dict[str, Callable[[], float]] = {OURS: partial(seconds, contest.ours.image, contest.ours.python)}
    measures |= {peer.name: partial(seconds, contest.tag(peer), peer.python) for peer in contest.left()}
    values = medians(in_turn(measures, contest.bench.times(5, 2), contest.missing))
    what = "first import torch in a new container"
    yield from contest.lines(what, values, "import", at_most_times(1.1), at_most_times(1.1))
