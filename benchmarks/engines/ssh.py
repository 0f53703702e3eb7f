"""A warm submit over SSH to the script's first line, against `ssh HOST python3 script.py`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from benchmarks.bench import Bench
from benchmarks.engines import places
from benchmarks.figure import Line, at_most_more
from benchmarks.interleave import in_turn, medians
from benchmarks.workers import Worker, start_all
from tests.rig import sshd

TITLE = "submit to first line, SSH"

_OURS, _NEW, _KEPT = "the toolkit", "ssh host python3 script.py", "the same over a connection that is kept"


def measure(bench: Bench) -> Iterator[Line]:
    """A real sshd on loopback. The clock stops when the line has arrived on this side."""
    missing: dict[str, str] = {}
    if sshd.why_not():
        missing = dict.fromkeys((_OURS, _NEW, _KEPT), sshd.why_not())
    values: dict[str, float] = {}
    with ExitStack() as stack:
        if not missing:
            host = stack.enter_context(sshd.serve(bench.folder("host")))
            source = places.source(bench)
            given = {"source": str(source), "target": host.settings}
            peer = {"config": str(host.config), "host": sshd.NAME, "script": str(source / "first.py"), "folder": ""}
            peer["folder"] = str(bench.folder("connections"))
            home = str(bench.scratch / "home")
            workers = start_all(
                stack,
                {
                    _OURS: places.worker(
                        sys.executable, "first_line_toolkit", bench.scratch / "ours", given, TOOLKIT_HOME=home
                    ),
                    _NEW: places.worker(sys.executable, "first_line_ssh", bench.scratch / "ssh", peer),
                },
                missing,
            )
            measures = {_OURS: partial(_seen, workers[_OURS])} if _OURS in workers else {}
            if _NEW in workers:
                measures[_NEW] = partial(_seen, workers[_NEW], kept=False)
                measures[_KEPT] = partial(_seen, workers[_NEW], kept=True)
            values = medians(in_turn(measures, bench.times(15, 4), missing, warm_up=2))
    for peer_name in (_NEW, _KEPT):
        note = missing.get(_OURS) or missing.get(peer_name) or ""
        text = "SSH: warm submit to the first line seen here"
        yield Line(text, values.get(_OURS), values.get(peer_name), peer_name, "s", at_most_more(0.3, "s"), note)


def _seen(worker: Worker, **request: object) -> float:
    return float(worker.ask(**request)["seen"])
