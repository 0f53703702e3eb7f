"""A small environment, cold and after a package was added, against Dockerfiles with the same packages.

Cold is without an image and without anything that it is made of, and with the downloads in everybody's own cache, as
far as a builder has one.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.figure import Line, at_most_times
from benchmarks.images import bases, dockerfiles, engine, index, packages
from benchmarks.images.contest import Contest
from benchmarks.images.engine import Engine
from benchmarks.images.ours import Ours
from tests.rig import conda_channel

TITLE = "image of a small environment"

_PIP = (dockerfiles.PIP, dockerfiles.UV, dockerfiles.UV_BARE, dockerfiles.CLASSIC_PIP, dockerfiles.CLASSIC_UV)
_CONDA = (dockerfiles.CONDA, dockerfiles.CLASSIC_CONDA)


def measure(bench: Bench) -> Iterator[Line]:
    """Ours is the process that the agent starts, the peers' is `docker build`: each from its start to its end."""
    with engine.connect(bench) as docker:
        bench.say("base images and packages")
        base = bases.python(docker, bench.scratch)
        served = bench.folder("index")
        packages.fetch(packages.SMALL, bases.python_version(docker, base), served)
        conda_channel.make(served / "channel")
        with index.serve(served) as address:
            yield from _lines(_with_conda(bench, docker, address), "python and numpy by conda, the rest by pip")
            ours = Ours(docker, bench.scratch / "ours", address, base)
            contest = Contest(bench, docker, packages.SMALL, ours, _PIP, base, address)
            yield from _lines(contest, "by pip, for the base's Python")


def _with_conda(bench: Bench, docker: Engine, address: str) -> Contest:
    channel = f"{address}/channel"
    ours = Ours(docker, bench.scratch / "ours-conda", address, bases.slim(docker, bench.scratch), channel)
    base = bases.conda(docker, bench.scratch)
    return Contest(bench, docker, packages.SMALL, ours, _CONDA, base, address, channel)


def _lines(contest: Contest, how: str) -> Iterator[Line]:
    times = contest.bench.times
    what = f"small environment ({how}), cold"
    yield from contest.lines(what, contest.cold(times(5, 1)), "cold", at_most_times(0.25))
    what = f"small environment ({how}), a package added"
    yield from contest.lines(what, contest.changed(times(5, 1)), "changed", at_most_times(0.5))
