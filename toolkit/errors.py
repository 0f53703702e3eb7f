"""The errors of the toolkit, one tree:

    ToolkitError
    ├── UserErrorException              the call cannot work as it was made
    │   ├── ComputeTargetException          no such compute target, or a target that cannot take the run
    │   ├── SnapshotException               source_directory is too large or cannot be read
    │   ├── ProjectSystemException
    │   │   └── WorkspaceException              no such workspace
    │   ├── WebserviceException             what Azure ML SDK v1 raised of models
    │   │   ├── ModelNotFoundException          no such model
    │   │   └── ModelPathNotFoundException      no such file of a model
    │   ├── AuthenticationException         kept for scripts that raise or catch it
    │   └── EnvironmentSpecificationError   a conda or pip specification that is broken, unsafe or unknown
    ├── EnvironmentBuildError           solving or installing an environment failed
    ├── ContainerEngineError            Docker or Podman refused what it was asked for
    │   └── ContainerEngineUnreachable      … or does not answer
    ├── EngineUnreachable               an engine that runs are given to does not answer
    │   └── ContainerEngineUnreachable
    ├── StorageError                    disk full, read-only, or not permitted
    ├── TrackingError                   the MLflow server cannot be started or reached
    ├── NotOffered                      something of Azure ML SDK v1 that the toolkit does not have
    ├── RunEnvironmentException         no submitted run around this process
    ├── ExperimentExecutionException    watching a run was interrupted; the run goes on
    └── ActivityFailedException         the run that was waited for failed

The names that Azure ML SDK v1 had are kept, so that `except` clauses of old scripts hold.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from toolkit.inscript.errors import (
    ActivityFailedException,
    AuthenticationException,
    ComputeTargetException,
    ExperimentExecutionException,
    ModelNotFoundException,
    ModelPathNotFoundException,
    NotOffered,
    ProjectSystemException,
    RunEnvironmentException,
    SnapshotException,
    ToolkitError,
    UserErrorException,
    WebserviceException,
    WorkspaceException,
)

__all__ = [
    "ActivityFailedException",
    "AuthenticationException",
    "ComputeTargetException",
    "ContainerEngineError",
    "ContainerEngineUnreachable",
    "EngineUnreachable",
    "EnvironmentBuildError",
    "EnvironmentSpecificationError",
    "ExperimentExecutionException",
    "ModelNotFoundException",
    "ModelPathNotFoundException",
    "NotOffered",
    "ProjectSystemException",
    "RunEnvironmentException",
    "SnapshotException",
    "StorageError",
    "ToolkitError",
    "TrackingError",
    "UserErrorException",
    "WebserviceException",
    "WorkspaceException",
    "storage_errors",
]


class EnvironmentSpecificationError(UserErrorException):
    """A conda or pip specification is broken, unsafe, or asks for something unknown."""


class EnvironmentBuildError(ToolkitError):
    """Solving or installing an environment failed; the message carries the solver's own words."""


class ContainerEngineError(ToolkitError):
    """The container engine (Docker or Podman) refused what it was asked for, or cannot be reached."""


class EngineUnreachable(ToolkitError):
    """An engine that runs are given to (a host, a scheduler, a cluster) does not answer; it may come back."""


class ContainerEngineUnreachable(ContainerEngineError, EngineUnreachable):
    """The container engine does not answer: it is not running, is restarting, or may not be used."""


class StorageError(ToolkitError):
    """A disk is full or read-only, or a folder may not be written."""


class TrackingError(ToolkitError):
    """The MLflow server cannot be started or reached."""


_STORAGE_REASONS = {
    errno.ENOSPC: "the disk is full: free some space there, or set TOOLKIT_HOME to a folder on a larger disk",
    errno.EDQUOT: "your disk quota is used up: free some space, or set TOOLKIT_HOME to a folder elsewhere",
    errno.EROFS: "the disk is read-only: set TOOLKIT_HOME to a folder that can be written",
    errno.EACCES: "permission is denied: mend the folder's owner or mode, or set TOOLKIT_HOME to a folder of yours",
    errno.EPERM: "permission is denied: mend the folder's owner or mode, or set TOOLKIT_HOME to a folder of yours",
}


@contextmanager
def storage_errors(doing: str, path: object) -> Iterator[None]:
    """Turn the operating system's refusal to write into a `StorageError` that says what to do.

    Args:
        doing: what was being done, as in "cannot write the snapshot".
        path: the folder or file that was written to.
    """
    try:
        yield
    except OSError as error:
        reason = _STORAGE_REASONS.get(error.errno or 0)
        if reason is None:
            raise
        raise StorageError(f"{doing} to {path}: {reason}") from error
