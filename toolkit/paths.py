"""Every path of the toolkit's home and of a workspace, as named properties. A run's own are in `RunDirectory`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from toolkit.inscript.logged_run import path_of
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.workspace_directory import WorkspaceDirectory

__all__ = ["Home", "RunDirectory", "WorkspacePaths", "home"]


@dataclass(frozen=True)
class Home:
    """The folder that holds all state of the toolkit on this machine."""

    root: Path

    @property
    def workspaces(self) -> Path:
        return self.root / "workspaces"

    @property
    def environments(self) -> Path:
        """The content-addressed store of environments, shared by all workspaces."""
        return self.root / "environments"

    @property
    def data(self) -> Path:
        """Data sets that runs fetch once and share: `TOOLKIT_DATA` inside a run."""
        return self.root / "data"

    @property
    def gpu_leases(self) -> Path:
        """Which run has which GPU of this machine."""
        return self.root / "gpu-leases"

    @property
    def offline(self) -> Path:
        """What offline runs logged, one folder a run."""
        return self.root / "offline"

    @property
    def inscript(self) -> Path:
        """Copies of the in-script side, one a version, that are put on the path of runs."""
        return self.root / "inscript"


def home() -> Home:
    """The toolkit's home: `TOOLKIT_HOME`, else the user's data folder."""
    configured = os.environ.get("TOOLKIT_HOME")
    if configured:
        return Home(Path(configured).expanduser().absolute())
    import platformdirs

    return Home(Path(platformdirs.user_data_dir("toolkit", appauthor=False)))


@dataclass(frozen=True)
class WorkspacePaths:
    """The layout of one workspace folder."""

    root: Path

    @property
    def configuration(self) -> Path:
        """What the user may edit: compute targets, defaults, `tracking_uri`."""
        return self.root / "workspace.yaml"

    @property
    def experiments(self) -> Path:
        return self.root / "experiments"

    def experiment_runs(self, experiment: str) -> Path:
        """Append-only: the run ids of an experiment, one a line; a run's number is its line."""
        return self.experiments / experiment / "runs.txt"

    @property
    def environments(self) -> Path:
        """Registered environments: a folder a name, a file a version."""
        return self.root / "environments"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def run(self, run_id: str) -> RunDirectory:
        """The run directory of a run id; a logged child's is inside its parent's."""
        return RunDirectory(path_of(str(self.runs), run_id))

    @property
    def shared(self) -> WorkspaceDirectory:
        """The folders that runs share with control scripts: data and secrets."""
        return WorkspaceDirectory(str(self.root))

    @property
    def compute(self) -> Path:
        """Compute targets that control scripts created, a file each; those of `workspace.yaml` go before them."""
        return self.root / "compute"

    @property
    def catalog(self) -> Path:
        """What is known of runs that have ended, for questions about many: made from their folders, never the truth."""
        return self.root / "catalog.db"

    @property
    def active(self) -> Path:
        """One empty file a run that has not ended: the agent's work list."""
        return self.root / "active"

    @property
    def untracked(self) -> Path:
        """One empty file a run that MLflow does not have all of yet: the tracker's work list."""
        return self.root / "untracked"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def agent(self) -> Path:
        return self.root / "agent"

    @property
    def agent_lock(self) -> Path:
        return self.agent / "lock"

    @property
    def agent_version(self) -> Path:
        return self.agent / "version"

    @property
    def agent_log(self) -> Path:
        return self.agent / "log.txt"

    @property
    def wake(self) -> Path:
        """A named pipe: a line written into it wakes the agent, and without an agent it has no reader."""
        return self.agent / "wake"

    @property
    def mlflow(self) -> Path:
        return self.root / "mlflow"

    @property
    def mlflow_database(self) -> Path:
        return self.mlflow / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.mlflow / "artifacts"

    @property
    def server(self) -> Path:
        """What is known of the workspace's MLflow server: pid, port, start time."""
        return self.mlflow / "server.json"

    @property
    def server_log(self) -> Path:
        return self.mlflow / "server.log"
