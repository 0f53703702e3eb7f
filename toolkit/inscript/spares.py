"""Working copies that are kept for the next run of the same sources, so that thousands of files are not made anew.

    <spares>/<snapshot id>/     the files of a snapshot that a script had and did not touch

A run takes the copy that is there by renaming it, so no two ever have the same; what is missing of it is made. Creating
a file costs much more than moving it, on ext4 up to 0.4 ms when as many were deleted within the last minutes.
"""

import os
from typing import Optional

from toolkit.inscript import workcopy

KEPT = 3  # copies at once: each may be as large as a snapshot
_MARGIN_SECONDS = 0.02  # the kernel's times lag by some milliseconds


def take(spares: Optional[str], snapshot_id: str, destination: str) -> bool:
    """Put the copy that is there of a snapshot in the place of the working copy; False where there is none."""
    if not spares or os.path.lexists(destination):
        return False
    try:
        os.rename(os.path.join(spares, snapshot_id), destination)
    except OSError:
        return False
    return True


def keep(spares: str, store: str, snapshot_id: str, destination: str, started: float) -> None:
    """Move the files that are as they were made out of a working copy, to be the next one's.

    Args:
        started: when the script was: what was changed since, by whatever way, is not kept.
    """
    place = os.path.join(spares, snapshot_id)
    staging = "%s.%d.tmp" % (place, os.getpid())
    if os.path.exists(place):
        return
    try:
        os.makedirs(staging, 0o700)
        workcopy.move_unchanged(store, snapshot_id, destination, staging, started - _MARGIN_SECONDS)
        os.rename(staging, place)
        _forget_old(spares)
    finally:
        _remove(staging)


def _forget_old(spares: str) -> None:
    """Leave the newest ones; what a launcher that was killed has left goes with the rest."""
    paths = [os.path.join(spares, name) for name in os.listdir(spares)]
    for path in sorted(paths, key=_changed)[:-KEPT]:
        _remove(path)


def _remove(path: str) -> None:
    import shutil  # not at the start, where a script waits for it

    shutil.rmtree(path, ignore_errors=True)


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_ctime
    except OSError:
        return 0.0
