"""The sources of a run, frozen as they are: a snapshot, and the git commit that they are of."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolkit import snapshots
from toolkit.paths import home
from toolkit.progress import bar
from toolkit.snapshots import git
from toolkit.snapshots.limit import lifted

if TYPE_CHECKING:
    from toolkit.workspace import Workspace

_OF_GIT = ("repository_uri", "branch", "commit", "dirty", "untracked", "untracked_count", "diff_truncated")


@dataclass(frozen=True)
class Sources:
    """A folder that was frozen.

    Attributes:
        record: what a run's definition says of it: `source_directory`, `snapshot`, and `git` in a repository.
        properties: what the run's properties say of the commit.
        diff: the uncommitted changes, as `git diff` shows them.
    """

    record: dict[str, Any]
    properties: dict[str, str]
    diff: bytes


def freeze(workspace: Workspace, folder: str | os.PathLike[str], needed: str | None = None) -> Sources:
    """Freeze a folder into the workspace's store of snapshots, and ask git about it meanwhile.

    Args:
        needed: a file that the snapshot must hold: the script.

    Raises:
        SnapshotException: the folder is too large, or has no such file.
        StorageError: the disk is full or read-only.
    """
    asked = git.begin(folder)
    with bar(f"Freezing {folder}") as progress:
        frozen = snapshots.take(
            folder,
            workspace.paths.snapshots,
            limit_bytes=lifted(int(workspace.configuration.snapshot_limit_mb * 1e6)),
            exclude=[home().root, workspace.paths.root],
            progress=progress,
            needed=needed,
        )
    commit = asked.result()
    for warning in (*frozen.warnings, *filter(None, [asked.warning])):
        print(f"toolkit: {warning}", file=sys.stderr)
    record: dict[str, Any] = {
        "source_directory": os.path.abspath(folder),
        "snapshot": {"id": frozen.id, "files": frozen.files, "bytes": frozen.bytes},
    }
    if commit is None:
        return Sources(record, {}, b"")
    record["git"] = {key: getattr(commit, key) for key in _OF_GIT}
    return Sources(record, commit.properties(), commit.diff)
