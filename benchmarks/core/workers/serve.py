"""How a worker speaks with `benchmarks.workers`: one JSON line in, one out. Standard library only, for any peer."""

import json
import os
import sys

# Whatever a peer prints goes to standard error: standard output is the wire.
_wire = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def settings():
    """What the worker was started with."""
    return json.loads(sys.argv[1])


def say(value):
    """Say one thing to the benchmark."""
    _wire.write(json.dumps(value) + "\n")
    _wire.flush()


def serve(measure):
    """Say that the worker is ready, then call `measure(**request)` for each request."""
    say("ready")
    for line in sys.stdin:
        try:
            say(measure(**json.loads(line)))
        except Exception as error:
            say({"error": f"{type(error).__name__}: {error}"[:300]})
