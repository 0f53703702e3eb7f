"""An image pushed to a registry on loopback and pulled again: whole, and what a small change adds to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.figure import Line, at_most_times
from benchmarks.images import disk
from benchmarks.images.contest import OURS, Contest
from benchmarks.images.dockerfiles import Peer
from benchmarks.workers import WorkerError
from tests.rig import registry


@dataclass(frozen=True)
class _Pair:
    """Names in the registry: of an image as built, and with a small change."""

    whole: str
    changed: str


def transfer(contest: Contest, peer: Peer) -> Iterator[Line]:
    """By the engine's own push and pull, of our images and a peer's; once each, for information."""
    if registry.why_not():
        note = f"needs {registry.why_not()}"
        yield Line("push and pull through a registry", None, None, peer.name, "s", at_most_times(1), note)
        return
    docker, found = contest.engine, dict[str, dict[str, float]]()
    with registry.serve(contest.bench.folder("registry")) as served:
        for who in (OURS, peer.name):
            contest.bench.say(f"{who}: registry")
            name = f"{served.address}/{OURS if who == OURS else peer.tag}"
            names = _Pair(f"{name}:whole", f"{name}:changed")
            try:
                _tag(contest, None if who == OURS else peer, names)
                seconds = {"push": _docker(contest, "push", names.whole)}
                seconds["push of the change"] = _docker(contest, "push", names.changed)
                _forget(contest, None if who == OURS else peer, names)
                seconds["pull"] = _docker(contest, "pull", names.whole)
                seconds["pull of the change"] = _docker(contest, "pull", names.changed)
                found[who] = seconds
            except WorkerError as reason:
                contest.missing[who] = str(reason)
            docker.forget(names.whole, names.changed)
    note = contest.missing.get(OURS) or contest.missing.get(peer.name) or "the engine's own commands, once each"
    for what in ("push", "push of the change", "pull", "pull of the change"):
        ours, theirs = found.get(OURS, {}).get(what), found.get(peer.name, {}).get(what)
        yield Line(f"torch image, registry on loopback: {what}", ours, theirs, peer.name, "s", at_most_times(1), note)


def _tag(contest: Contest, peer: Peer | None, names: _Pair) -> None:
    """Name the two images, which are built where they are not there any more."""
    requirements = {names.whole: contest.packages.base, names.changed: contest.packages.changes[0]}
    for name, wanted in requirements.items():
        if peer is None:
            contest.ours.build(wanted)
            contest.engine.docker("tag", contest.ours.image, name)
        else:
            contest.build(peer, wanted)
            contest.engine.docker("tag", contest.tag(peer), name)


def _forget(contest: Contest, peer: Peer | None, names: _Pair) -> None:
    """Remove the two images with all of their layers."""
    contest.engine.forget(names.whole, names.changed)
    if peer is None:
        contest.ours.forget()
    else:
        contest.engine.forget(contest.tag(peer))
        contest.engine.forget_dangling(contest.base)
        contest.engine.forget_build_cache()


def _docker(contest: Contest, verb: str, name: str) -> float:
    disk.settle()
    began = time.perf_counter()
    contest.engine.docker(verb, "--quiet", name)
    return time.perf_counter() - began
