"""News of runs that control processes log: the agent is told, and MLflow gets it also when the run has ended."""

from __future__ import annotations

from toolkit.agent import wake as agent
from toolkit.errors import StorageError
from toolkit.inscript.spool import Spool
from toolkit.inscript.values import warn_once
from toolkit.paths import WorkspacePaths


def announce(paths: WorkspacePaths, run_id: str) -> None:
    """Let the agent know that a run has news which it did not bring about itself."""
    for folder in (paths.active, paths.untracked):
        folder.mkdir(exist_ok=True)
        (folder / run_id).touch()
    agent.nudge(paths)


class AnnouncedSpool(Spool):
    """The spool of a control script: what is logged from outside reaches MLflow also when the run has ended."""

    def __init__(self, folder: str, paths: WorkspacePaths, run_id: str) -> None:
        super().__init__(folder)
        self._paths = paths
        self._run_id = run_id

    def append(self, line: bytes) -> None:
        super().append(line)
        try:
            (self._paths.untracked / self._run_id).touch()
            agent.nudge(self._paths)
        except (OSError, StorageError) as error:  # what is logged is kept, and whoever logs goes on
            warn_once("announce", f"the workspace's agent could not be told of what is logged: {error}")
