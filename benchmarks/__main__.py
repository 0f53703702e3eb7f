"""`python -m benchmarks [GROUP]`: a JSON line a figure on standard output, tables in benchmarks/RESULTS.md."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from benchmarks import machine, registry, results
from benchmarks.bench import REPOSITORY, Bench
from benchmarks.figure import Goal, Line
from benchmarks.peers import Peers
from benchmarks.progress import Progress

RESULTS = REPOSITORY / "benchmarks" / "RESULTS.md"
PEERS = REPOSITORY / ".venvs"


def main() -> int:
    """Measure what is asked for. 0 also where goals are not met: the lines say so."""
    options = _options()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's machine has bytecode, ours and the peers'
    try:
        groups = registry.groups(options.group)
        chosen = {group: registry.figures(group, options.figure) for group in groups}
    except registry.UnknownName as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    with Progress() as progress:
        for group, figures in chosen.items():
            load = machine.load()
            peers = Peers(PEERS, progress.say)
            lines = []
            for name, module in figures:
                progress.title(f"{group}: {module.TITLE}")
                for line in _measured(name, module, peers, progress, options.quick):
                    print(line.as_json(group), flush=True)
                    lines.append(line)
            if options.quick or options.figure:
                progress.say("RESULTS.md is left as it is: only a whole group at full length goes there")
            else:
                results.write(RESULTS, group, lines, peers.versions, load)
    return 0


def _measured(
    name: str, module: registry.FigureModule, peers: Peers, progress: Progress, quick: bool
) -> Iterator[Line]:
    """The lines of one figure. One that breaks is a line too, and the others are measured all the same."""
    # Beside the peers, not in /tmp: environments of gigabytes are made here, and /tmp is memory on some machines.
    PEERS.mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".scratch-", dir=PEERS))
    try:
        yield from module.measure(Bench(scratch, peers, progress.say, quick))
    except Exception as error:
        traceback.print_exc()
        broken = Goal("it can be measured", lambda ours, peer: False)
        yield Line(f"{module.TITLE} ({name})", None, None, "", "", broken, note=f"{type(error).__name__}: {error}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("group", nargs="?", help="one group; all of them by default")
    parser.add_argument("--figure", help="one figure of the group, by the name of its module")
    parser.add_argument("--quick", action="store_true", help="few repeats, for work on the benchmarks themselves")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
