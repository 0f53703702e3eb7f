"""Where things are in the toolkit's folder on a host. Both sides know it.

inscript/<hash>/                    the in-script side
snapshots/                          as in a workspace: contents by their sha256, and manifests
spares/<snapshot>/                  working copies for the next run, see `toolkit.inscript.spares`
environments/prefixes/<lock hash>/  as in a toolkit's home: whole environments
environments/pythons/<key>/         interpreters that were sent because the host has none of their version
environments/staging/               what is being sent
data/                               TOOLKIT_DATA of runs; `inputs/<key>/` are copies of inputs from the other side
workspaces/<key>/<name>/runs/<id>/  run directories
"""

import os
from typing import Optional

WAITER = "connection-"  # begins the names of files that host processes hold locked


class Layout:
    """Names every file of one workspace on one host.

    Args:
        folder: the toolkit's folder there.
        workspace: "<key>/<name>".
        inscript: the folder of the in-script side there.
    """

    def __init__(self, folder: str, workspace: str, inscript: str) -> None:
        self.folder = folder
        self.workspace = os.path.join(folder, "workspaces", workspace)
        self.inscript = inscript

    @property
    def runs(self) -> str:
        return os.path.join(self.workspace, "runs")

    def run(self, run_id: str) -> str:
        return os.path.join(self.runs, run_id)

    @property
    def wake(self) -> str:
        """A named pipe: runs write a line into it when they have news."""
        return os.path.join(self.workspace, "wake")

    @property
    def waiter(self) -> str:
        """A file that a host process holds locked while it lives: so long its runs wait for GPUs."""
        return os.path.join(self.workspace, "%s%d.lock" % (WAITER, os.getpid()))

    @property
    def snapshots(self) -> str:
        return os.path.join(self.folder, "snapshots")

    @property
    def spares(self) -> str:
        return os.path.join(self.folder, "spares")

    @property
    def data(self) -> str:
        return os.path.join(self.folder, "data")

    @property
    def staging(self) -> str:
        return os.path.join(self.folder, "environments", "staging")

    def prefix(self, lock_hash: str) -> str:
        return os.path.join(self.folder, "environments", "prefixes", lock_hash)

    def python(self, key: str) -> str:
        return os.path.join(self.folder, "environments", "pythons", key)

    def input(self, key: str) -> str:
        return os.path.join(self.data, "inputs", key)

    def content(self, kind: str, key: str) -> str:
        """Where a content that is sent as a folder comes to: a "prefix", a "python" or an "input"."""
        if not key or key.startswith(".") or os.path.basename(key) != key:
            raise ValueError("%r cannot name a content" % key)
        places = {"prefix": self.prefix, "python": self.python, "input": self.input}
        return places[kind](key)


def default_folder(configured: Optional[str]) -> str:
    """The toolkit's folder on this host: what is configured, else its home, else the user's data folder."""
    data = os.environ.get("XDG_DATA_HOME") or os.path.join("~", ".local", "share")
    chosen = configured or os.environ.get("TOOLKIT_HOME") or os.path.join(data, "toolkit")
    return os.path.abspath(os.path.expanduser(chosen))
