"""Snapshots: a source directory frozen by content, for runs to work on."""

from toolkit.snapshots.survey import Survey, survey
from toolkit.snapshots.take import Snapshot, restore, take

__all__ = ["Snapshot", "Survey", "restore", "survey", "take"]
