"""The catalogue: what is known of runs that have ended, in one SQLite file, for questions about many runs at once.

It is a cache that is read through, and never the truth. A row holds while the run's `tracking.json`, the last file that
is written of a run, has the time that it had when the row was made; runs that go on are read from their folders. So the
file may be deleted, broken, on a disk that cannot be written, or of an older toolkit at any time.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, TypeVar

from toolkit import experiment_index
from toolkit.inscript import logged_run
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import WorkspacePaths
from toolkit.run_facts import RunFacts, Wanted

FORMAT = 1
FIRST_PAGE, LARGEST_PAGE = 100, 1600
BUSY_SECONDS = 2.0
LARGEST_METRICS = 1 << 20  # characters; what is longer is read from the run's folder each time
_TABLES = """
CREATE TABLE runs (id TEXT PRIMARY KEY, mtime INTEGER NOT NULL, experiment TEXT, parent TEXT, type TEXT, status TEXT,
                   tags TEXT NOT NULL, properties TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE metrics (id TEXT PRIMARY KEY, mtime INTEGER NOT NULL, metrics TEXT NOT NULL);
"""
_NO_ROOM = ("locked", "busy", "readonly", "read-only", "unable to open", "full")  # nothing is wrong with the file

T = TypeVar("T")


def find_runs(
    paths: WorkspacePaths,
    experiment: str | None = None,
    type: str | None = None,
    tags: object = None,
    properties: object = None,
    status: str | None = None,
    parent: str | None = None,
    include_children: bool = False,
    newest_first: bool = True,
) -> Iterator[str]:
    """The ids of runs, page by page as they are asked for.

    Args:
        experiment: the runs of this experiment, in the order of its index.
        type, tags, properties, status: see `Wanted`.
        parent: in place of an experiment, the children of this run; `include_children` adds theirs.
    """
    wanted = Wanted(type, status, tags, properties, children=parent is not None or include_children)
    if parent is not None:
        ids: Iterable[str] = _children(paths, parent, include_children)
    else:
        ids = [*experiment_index.numbers(paths, experiment)] if experiment is not None else []
    ordered = iter(reversed(list(ids)) if newest_first else ids)
    size = FIRST_PAGE
    while page := list(itertools.islice(ordered, size)):
        yield from _matching(paths, page, wanted)
        size = min(size * 2, LARGEST_PAGE)


def metrics_of(paths: WorkspacePaths, run_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The metrics of each run that there is, in the order of `run_ids`: one query for those that have ended."""

    def look_up(catalogue: Catalogue | None) -> dict[str, dict[str, Any]]:
        times = _settled(paths, run_ids)
        kept = catalogue.metrics(times) if catalogue else {}
        missing = [facts for run_id in run_ids if run_id not in kept and (facts := RunFacts.read(paths.run(run_id)))]
        if catalogue:
            catalogue.put(missing, times)
        return {**kept, **{facts.id: facts.metrics for facts in missing}}

    found = _with_catalogue(paths, look_up)
    return {run_id: found[run_id] for run_id in run_ids if run_id in found}


def keep(paths: WorkspacePaths, run_id: str) -> None:
    """Put a run that has ended into the catalogue, for whoever asks first."""

    def put(catalogue: Catalogue | None) -> None:
        facts, time = RunFacts.read(paths.run(run_id)), _time(str(paths.runs), run_id)
        if catalogue and facts and time is not None:
            catalogue.put([facts], {run_id: time})

    _with_catalogue(paths, put)


# -- which runs there are ---------------------------------------------------------------------------------------------


def _children(paths: WorkspacePaths, parent: str, recursive: bool) -> Iterator[str]:
    directory = RunDirectory(_place(str(paths.runs), parent))
    if not (os.path.exists(directory.children) or os.path.exists(directory.submitted_children)):
        return  # as most runs
    for child in logged_run.children(directory):
        yield child
        if recursive:
            yield from _children(paths, child, True)


def _settled(paths: WorkspacePaths, run_ids: Iterable[str]) -> dict[str, int]:
    """Of the runs that have ended and that MLflow has all of: when that was written down (ns)."""
    marked: set[str] = set()
    for folder in (paths.active, paths.untracked):
        try:
            marked.update(os.listdir(folder))
        except FileNotFoundError:
            continue
    runs = str(paths.runs)
    times = {run_id: _time(runs, run_id) for run_id in run_ids if run_id not in marked}
    return {run_id: time for run_id, time in times.items() if time is not None}


def _time(runs: str, run_id: str) -> int | None:
    try:
        return os.stat(RunDirectory(_place(runs, run_id)).tracking).st_mtime_ns
    except OSError:
        return None


def _place(runs: str, run_id: str) -> str:
    """The folder of a run, without the detours of `WorkspacePaths.run`: asked for thousands of times here."""
    return logged_run.path_of(runs, run_id) if "." in run_id else f"{runs}/{run_id}"


def _matching(paths: WorkspacePaths, page: list[str], wanted: Wanted) -> list[str]:
    """Of a page of ids, those of runs that there are and that are wanted."""
    if wanted.anything:
        runs = str(paths.runs)
        return [run_id for run_id in page if os.path.exists(RunDirectory(_place(runs, run_id)).definition)]

    def look_up(catalogue: Catalogue | None) -> list[str]:
        times = _settled(paths, page)
        kept = catalogue.valid(times) if catalogue else set()
        read = [facts for run_id in page if run_id not in kept and (facts := RunFacts.read(paths.run(run_id)))]
        found = {facts.id for facts in read if wanted.fits(facts)}
        if catalogue:
            catalogue.put(read, times)
            found |= catalogue.select(kept, wanted)
        return [run_id for run_id in page if run_id in found]

    return _with_catalogue(paths, look_up)


# -- the file ---------------------------------------------------------------------------------------------------------


class Catalogue:
    """The open file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def valid(self, times: dict[str, int]) -> set[str]:
        """Those of these runs that have a row which holds; `times` as `_settled` gives them."""
        query = "SELECT id, mtime FROM runs WHERE id IN (SELECT value FROM json_each(?))"
        rows = self._connection.execute(query, [json.dumps([*times])])
        return {run_id for run_id, time in rows if times[run_id] == time}

    def metrics(self, times: dict[str, int]) -> dict[str, dict[str, Any]]:
        """The metrics of those of these runs that have a row which holds."""
        query = "SELECT id, mtime, metrics FROM metrics WHERE id IN (SELECT value FROM json_each(?))"
        rows = self._connection.execute(query, [json.dumps([*times])])
        return {run_id: json.loads(metrics) for run_id, time, metrics in rows if times[run_id] == time}

    def select(self, ids: Iterable[str], wanted: Wanted) -> set[str]:
        """Those of these runs whose rows say what is wanted."""
        clauses, values = ["id IN (SELECT value FROM json_each(?))"], [json.dumps([*ids])]
        for column in ("type", "status"):
            if getattr(wanted, column) is not None:
                clauses.append(f"{column} = ?")
                values.append(getattr(wanted, column))
        if not wanted.children:
            clauses.append("parent IS NULL")
        for column in ("tags", "properties"):
            for key, value in wanted.pairs(column):
                clauses.append(f"EXISTS (SELECT 1 FROM json_each(runs.{column}) AS pair WHERE pair.key = ?")
                clauses[-1] += ")" if value is None else " AND pair.value = ?)"
                values += [key] if value is None else [key, value]
        rows = self._connection.execute(f"SELECT id FROM runs WHERE {' AND '.join(clauses)}", values)
        return {run_id for (run_id,) in rows}

    def put(self, found: Iterable[RunFacts], times: dict[str, int]) -> None:
        """Keep those of these runs that have ended; `times` were read before the runs were."""
        kept = [facts for facts in found if facts.id in times]
        if not kept:
            return
        runs = [
            (
                facts.id,
                times[facts.id],
                facts.experiment,
                facts.parent,
                facts.type,
                facts.status,
                json.dumps(facts.tags),
                json.dumps(facts.properties),
            )
            for facts in kept
        ]
        texts = ((facts.id, times[facts.id], json.dumps(facts.metrics)) for facts in kept)
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", runs)
            short = [row for row in texts if len(row[2]) <= LARGEST_METRICS]
            self._connection.executemany("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?)", short)


def _with_catalogue(paths: WorkspacePaths, use: Callable[[Catalogue | None], T]) -> T:
    """What `use` gives with the catalogue; without one where it cannot be opened or written."""
    for _ in range(2):
        try:
            with closing(_open(paths)) as connection:
                return use(Catalogue(connection))
        except sqlite3.OperationalError as error:
            if any(word in str(error) for word in _NO_ROOM):
                break
            _remove(paths)
        except sqlite3.DatabaseError:  # broken: made anew
            _remove(paths)
    return use(None)


def _open(paths: WorkspacePaths) -> sqlite3.Connection:
    connection = sqlite3.connect(paths.catalog, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        (known,) = connection.execute("PRAGMA user_version").fetchone()
        if known != FORMAT:
            _make(connection)
        connection.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _make(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode=WAL")  # of the file, for all: read while it is written
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        (now,) = connection.execute("PRAGMA user_version").fetchone()
        if now == FORMAT:  # somebody else was first
            return
        for table in ("runs", "metrics"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in filter(str.strip, _TABLES.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={FORMAT}")


def _remove(paths: WorkspacePaths) -> None:
    for ending in ("", "-wal", "-shm"):
        try:
            os.unlink(f"{paths.catalog}{ending}")
        except OSError:
            pass
