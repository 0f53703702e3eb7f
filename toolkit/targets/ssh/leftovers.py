"""What stays of runs on a host: their folders, until they are known to be over; those of failed runs for a week."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

from toolkit import status
from toolkit.paths import WorkspacePaths
from toolkit.status import COMPLETED, FINALIZING, TERMINAL

if TYPE_CHECKING:
    from toolkit.targets.ssh.host import Host

KEPT_SECONDS = 7 * 86400.0
SETTLED_SECONDS = 2.0  # by then the agent has noted how a run ended
_sweeping = threading.Lock()


def sweep(host: Host, paths: WorkspacePaths, after: float = 0.0) -> None:
    """Remove, beside everything else, what is left on the host of runs that are over."""
    threading.Thread(target=_sweep, args=(host, paths, after), daemon=True).start()


def _sweep(host: Host, paths: WorkspacePaths, after: float) -> None:
    time.sleep(after)
    with _sweeping:
        try:
            if host.facts is None:
                return
            layout = host.facts.layout
            for one in host.ask("list"):
                if _may_go(paths, host.keep, one):
                    host.ask("remove", root=layout.run(str(one["id"])))
        except Exception as error:  # the connection was cut, say: swept when there is one again
            print(f"{host.address.host}: {error}", flush=True)


def _may_go(paths: WorkspacePaths, keep: str, there: dict[str, Any]) -> bool:
    """Whether the folder of a run on the host may go: `there` is what the host says of it."""
    run = paths.run(str(there["id"]))
    event = status.last_event(run)
    if event.status == status.NOT_STARTED:
        return not os.path.exists(run.root)
    if event.status not in (*TERMINAL, FINALIZING):
        return False
    if there["lives"] or there["ended"] is None:  # what is over does not go on; what never started has left nothing
        return True
    completed = (event.outcome if event.status == FINALIZING else event.status) == COMPLETED
    old = time.time() - float(there["ended"]) > KEPT_SECONDS
    return old or keep == "none" or (keep == "failed" and completed)
