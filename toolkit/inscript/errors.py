"""The root of the toolkit's errors and those that a script may raise or catch; `toolkit.errors` has the whole tree."""

from typing import Optional


class ToolkitError(Exception):
    """Base of every error that the toolkit raises on purpose.

    The message says what happened, why, and what to do. `message` and `inner_exception` are what Azure ML SDK v1 called
    them, which knew this class as `AzureMLException`.
    """

    def __init__(
        self, exception_message: object = "", inner_exception: Optional[BaseException] = None, **details: object
    ) -> None:
        Exception.__init__(self, exception_message)
        self.inner_exception = inner_exception

    @property
    def message(self) -> str:
        return str(self)


class UserErrorException(ToolkitError):
    """The call cannot work as it was made: the caller can mend it."""


class ComputeTargetException(UserErrorException):
    """No such compute target, or a target that cannot take the run."""


class SnapshotException(UserErrorException):
    """`source_directory` is over the limit or cannot be read."""


class ProjectSystemException(UserErrorException):
    """A workspace or project could not be had: the name that Azure ML SDK v1 gave it for long."""


class WorkspaceException(ProjectSystemException):
    """No such workspace, or one that cannot do what it was asked for."""


class AuthenticationException(UserErrorException):
    """Azure ML SDK v1 raised it where signing in failed. Nobody signs in here; kept for scripts that raise it."""


class WebserviceException(UserErrorException):
    """Models and what they are for: the root that Azure ML SDK v1 gave their errors."""

    def __init__(
        self,
        exception_message: object = "",
        status_code: Optional[int] = None,
        inner_exception: Optional[BaseException] = None,
        **details: object,
    ) -> None:
        UserErrorException.__init__(self, exception_message, inner_exception)
        self.status_code = status_code


class ModelNotFoundException(WebserviceException):
    """There is no such model in the workspace."""


class ModelPathNotFoundException(WebserviceException):
    """A model has no such file, or there is none at the path that it was to be registered from."""


class RunEnvironmentException(ToolkitError):
    """There is no submitted run around this process, and `allow_offline=False` asked for one."""


class ExperimentExecutionException(ToolkitError):
    """Watching a run was interrupted; the run itself goes on."""


class ActivityFailedException(ToolkitError):
    """The run that was waited for failed."""


class NotOffered(ToolkitError):
    """Something of Azure ML SDK v1 that the toolkit does not have; the message says what to use instead."""


class ModuleNotOffered(NotOffered, ImportError):
    """A module of Azure ML SDK v1 that the toolkit does not have."""


class AttributeNotOffered(NotOffered, AttributeError):
    """An attribute of something that the toolkit does not have."""
