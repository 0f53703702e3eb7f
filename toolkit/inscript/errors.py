"""The root of the toolkit's errors and those that the in-script side raises; `toolkit.errors` has the whole tree."""


class ToolkitError(Exception):
    """Base of every error that the toolkit raises on purpose.

    The message says what happened, why, and what to do. `message` is what Azure ML SDK v1 called it.
    """

    @property
    def message(self) -> str:
        return str(self)


class UserErrorException(ToolkitError):
    """The call cannot work as it was made: the caller can mend it."""


class RunEnvironmentException(ToolkitError):
    """There is no submitted run around this process, and `allow_offline=False` asked for one."""
