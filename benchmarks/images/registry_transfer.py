"""An image pushed to a registry on loopback and pulled again: whole, and what a small change adds to it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.figure import Line, at_most_times
from benchmarks.images.contest import OURS, Contest
from benchmarks.images.dockerfiles import Peer
from benchmarks.interleave import in_turn, medians
from tests.rig import registry


def transfer(contest: Contest, peer: Peer) -> Iterator[Line]:
    """By the engine's own push and pull, of our images and a peer's: as built, and with a small change."""
    if why := registry.why_not():
        contest.missing[OURS] = why
        return
    with registry.serve(contest.bench.folder("registry")) as served:
        names = {who: f"{served.address}/{who}" for who in (OURS, peer.tag)}
        for who, whole, changed in _images(contest, peer):
            contest.engine.docker("tag", whole, f"{names[who]}:whole")
            contest.engine.docker("tag", changed, f"{names[who]}:changed")
        for what, verb, tag in (
            ("push, the whole image", "push", "whole"), ("push, after a small package changed", "push", "changed"),
        ):  # fmt: skip
            measures = {who: partial(_seconds, contest, verb, f"{name}:{tag}") for who, name in names.items()}
            yield _line(what, contest, peer, measures)
