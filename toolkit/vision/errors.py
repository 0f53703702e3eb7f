"""What the vision modules raise: the names, codes and message shapes of the Azure ML designer, which callers match on.

    ModuleError                             (a ToolkitError)
    ├── GreaterThanOrEqualToError             5   a parameter is below what the data or the network allow
    ├── LessThanOrEqualToError                7   a parameter is above it
    ├── NotInRangeValueError                  8   a parameter is outside its range
    ├── InvalidDatasetError                  18   a folder, an archive or its images cannot be used
    ├── NotLabeledDatasetError               24   images without labels where labels are needed
    ├── TimeoutOccuredError                  72   another process of a distributed training does not answer
    ├── ModuleOutOfMemoryError              138   memory, or the disk, is full
    ├── InvalidTransformationDirectoryError 158   not a TransformationDirectory
    ├── InvalidModelDirectoryError          159   not a ModelDirectory of a PyTorch network
    ├── FailedToDownloadFilesError          162   the weights of a pretrained network cannot be fetched
    └── TrainingDivergedError              2000   the loss is no number any more (ours: the designer goes on)

Text is `<ErrorId>: <message>`, as there.
"""

from __future__ import annotations

from typing import Any

from toolkit.inscript.errors import ToolkitError, UserErrorException

LIBRARY_ERROR, USER_ERROR = 1000, 2000  # the codes of what is not a ModuleError
_LONGEST_JSON, _LONGEST_MESSAGE = 9000, 4096  # characters


class ModuleError(ToolkitError):
    """An error of a vision module.

    Attributes:
        code: the designer's number of the error.
    """

    code = LIBRARY_ERROR

    def __init__(self, message: str) -> None:
        self.detail = message
        super().__init__(f"{self.error_id}: {message}")

    @property
    def error_id(self) -> str:
        return type(self).__name__


class GreaterThanOrEqualToError(ModuleError):
    """A parameter is too small."""

    code = 5

    def __init__(self, parameter: str, lowest: object, hint: str = "") -> None:
        super().__init__(_and(f'Parameter "{parameter}" value should be greater than or equal to {lowest}.', hint))


class LessThanOrEqualToError(ModuleError):
    """A parameter is larger than the data allow."""

    code = 7

    def __init__(self, parameter: str, value: object, limit_name: str, limit: object, hint: str = "") -> None:
        super().__init__(
            _and(f'Parameter "{parameter}" value {value} should be less than or equal to {limit_name} value {limit}.',
                 hint)
        )  # fmt: skip


class NotInRangeValueError(ModuleError):
    """A parameter is outside its range."""

    code = 8

    def __init__(self, parameter: str, lowest: object, highest: object, hint: str = "") -> None:
        super().__init__(_and(f'Parameter "{parameter}" value should be in the range of [{lowest}, {highest}].', hint))


class InvalidDatasetError(ModuleError):
    """A data set (named as in "Training dataset") that cannot be used."""

    code = 18

    def __init__(self, dataset: str, reason: str, hint: str = "") -> None:
        super().__init__(_and(f"{dataset} is not valid, reason: {_sentence(reason)}", hint))


class NotLabeledDatasetError(ModuleError):
    """A data set without labels where labels are needed."""

    code = 24

    def __init__(self, dataset: str, hint: str = "") -> None:
        super().__init__(_and(f'There is no label column in "{dataset}".', hint))


class TimeoutOccuredError(ModuleError):
    """Another process of a distributed training did not answer. The spelling is the designer's."""

    code = 72

    def __init__(self, details: str = "") -> None:
        super().__init__(_and("Connection timeout occured.", details))


class ModuleOutOfMemoryError(ModuleError):
    """The memory of the machine or of the GPU, or the disk, is full."""

    code = 138

    def __init__(self, details: str) -> None:
        super().__init__(f"Memory has been exhausted, unable to complete running of module. Details: {details}")


class InvalidTransformationDirectoryError(ModuleError):
    """Not a TransformationDirectory, or one with an operation that is not known."""

    code = 158

    def __init__(self, argument: str, reason: str, hint: str = "") -> None:
        super().__init__(_and(f'TransformationDirectory "{argument}" is invalid. Reason: {_sentence(reason)}', hint))


class InvalidModelDirectoryError(ModuleError):
    """Not a ModelDirectory of a PyTorch network, or one that cannot be read."""

    code = 159

    def __init__(self, argument: str, reason: str, hint: str = "") -> None:
        super().__init__(_and(f'ModelDirectory "{argument}" is invalid. Reason: {_sentence(reason)}', hint))


class FailedToDownloadFilesError(ModuleError):
    """Files that are needed cannot be fetched."""

    code = 162

    def __init__(self, file_names: str, hint: str = "") -> None:
        message = f'Failed to download "{file_names}" due to internet error. Please check compute network settings.'
        super().__init__(_and(message, hint))


class TrainingDivergedError(ModuleError):
    """The loss became infinite or not a number."""

    code = USER_ERROR


class RemoteError(ModuleError):
    """What a process of a distributed training raised: its own name, code and message.

    Args:
        facts: as `error_info` has them; None where the process could not say.
        otherwise: the message then.
    """

    def __init__(self, facts: dict[str, Any] | None, otherwise: str) -> None:
        told = facts or {"ErrorId": "LibraryExceptionError", "ErrorCode": LIBRARY_ERROR, "Message": otherwise}
        self._id, self.code = str(told["ErrorId"]), int(told["ErrorCode"])
        super().__init__(str(told["Message"]).removeprefix(f"{self._id}: "))

    @property
    def error_id(self) -> str:
        return self._id


def error_info(error: BaseException | None) -> dict[str, Any]:
    """What `module_statistics/error_info.json` says of `error`; None says that all went well.

    A ModuleError anywhere in the chain of causes wins over what was raised because of it; a MemoryError there is
    a ModuleOutOfMemoryError.
    """
    if error is None:
        return {"Exception": None}
    found = module_error(error)
    if found is not None:
        facts = (found.error_id, found.code, "ModuleException", str(found))
    elif isinstance(error, UserErrorException):
        facts = ("UserError", USER_ERROR, "ModuleException", str(error))
    else:
        facts = ("LibraryExceptionError", LIBRARY_ERROR, "LibraryException", f"{type(error).__name__}: {error}")
    error_id, code, kind, message = facts
    if len(message) >= _LONGEST_JSON - 200:
        message = message[:_LONGEST_MESSAGE]
    return {
        "Exception": {
            "ErrorId": error_id, "ErrorCode": code, "ExceptionType": kind, "Traceback": "", "Message": message,
        }
    }  # fmt: skip


def module_error(error: BaseException) -> ModuleError | None:
    """The ModuleError that `error` is or comes from, if there is one."""
    link: BaseException | None = error
    out_of_memory = None
    while link is not None:
        if isinstance(link, ModuleError):
            return link
        if isinstance(link, MemoryError):
            out_of_memory = ModuleOutOfMemoryError(str(link) or "the memory of this machine")
        link = link.__cause__ or link.__context__
    return out_of_memory


def _and(sentence: str, hint: str) -> str:
    return f"{sentence} {hint}" if hint else sentence


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
