"""Whether a script sees the folder of its workspace: on another machine it has the directory of its run alone."""

import os

from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.requests import NO_ANSWERS
from toolkit.inscript.rundir import RUN_DIRECTORY, RunDirectory
from toolkit.inscript.workspace_directory import WorkspaceDirectory

ELSEWHERE = "TOOLKIT_ELSEWHERE"  # a variable that names the machine of such a script, where it can ask for answers


def place(shared: WorkspaceDirectory) -> str:
    """What people call the machine of this script, where it does not see the folders of its workspace; else ""."""
    where = os.environ.get(ELSEWHERE) or os.environ.get(NO_ANSWERS)
    root = os.environ.get(RUN_DIRECTORY)
    return where if where and root and shared.root == RunDirectory(root).outermost.workspace else ""


def refuse(shared: WorkspaceDirectory, what: str) -> None:
    """Nothing that is in the workspace's folders can be used from elsewhere, and what is written there would be lost.

    Raises:
        UserErrorException: this script is elsewhere.
    """
    where = place(shared)
    if where:
        raise UserErrorException(
            "%s of the workspace '%s' cannot be used by a script on %s: what it has is on the machine that submitted "
            "the run. Give the script its data as inputs (as_mount(), as_download()), and take what it makes as "
            "outputs (OutputFileDatasetConfig, or files in outputs/)" % (what, shared.name, where)
        )
