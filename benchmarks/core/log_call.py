"""`run.log` a call, against a bare file and everybody else who logs numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from benchmarks.bench import Bench
from benchmarks.core import logging_peers
from benchmarks.core.logging_peers import System
from benchmarks.figure import Line, at_most_times
from benchmarks.interleave import in_turn, medians
from benchmarks.peers import PeerUnavailable
from benchmarks.workers import Worker, WorkerError, start_all

TITLE = "run.log"


def measure(bench: Bench) -> Iterator[Line]:
    """A round is thousands of calls in one process; the systems take turns round by round."""
    missing: dict[str, str] = {}
    ours, peers = logging_peers.ours(), logging_peers.peers()
    with ExitStack() as stack:
        peers = _with_server(bench, stack, peers, missing)
        workers = start_all(stack, _workers(bench, (ours, *peers), missing), missing)
        calls = {system.label: system.calls // bench.times(1, 4) for system in (ours, *peers)}
        measures = {
            name: lambda name=name, worker=worker: float(worker.ask(calls=calls[name]))
            for name, worker in workers.items()
        }
        values = medians(in_turn(measures, bench.times(9, 3), missing))
    for system in peers:
        bare = system.function.startswith("file_")
        goal = at_most_times(2 if bare else 1)
        mine, theirs = values.get(ours.label), values.get(system.label)
        note = missing.get(ours.label if mine is None else system.label, "")
        yield Line("run.log, a call", mine, theirs, system.label, "µs", goal, note)


def _with_server(
    bench: Bench, stack: ExitStack, systems: tuple[System, ...], missing: dict[str, str]
) -> tuple[System, ...]:
    """The systems, with the URL of a server for the one that needs it."""
    bench.say("starting an MLflow server")
    found = []
    for system in systems:
        if system.label.endswith("REST"):
            try:
                url = stack.enter_context(logging_peers.mlflow_server(bench))
                system = replace(system, settings={"uri": url})
            except (PeerUnavailable, WorkerError) as reason:
                missing[system.label] = str(reason)
        found.append(system)
    return tuple(found)


def _workers(bench: Bench, systems: tuple[System, ...], missing: dict[str, str]) -> dict[str, Worker]:
    workers = {}
    for number, system in enumerate(systems):
        if system.label in missing:
            continue
        try:
            folder = bench.scratch / f"{number}-{system.function}"
            workers[system.label] = logging_peers.worker(bench, system, "log_call", folder)
        except PeerUnavailable as reason:
            missing[system.label] = str(reason)
    return workers
