"""The errors of data sets, under the names that Azure ML SDK v1 had in `azureml.data.dataset_error_handling`."""

from toolkit.inscript.errors import ToolkitError, UserErrorException


class DatasetValidationError(UserErrorException):
    """The data set cannot work as it was asked for: no such file, no such column."""


class DatasetExecutionError(ToolkitError):
    """The data could not be read or written."""


class DatasetTimestampMissingError(UserErrorException):
    """The data set has no timestamp column, and a time filter needs one."""


class MissingPackage(ToolkitError, ImportError):
    """A library that reads the data is not in the environment of this process."""


def missing_package(package: str, doing: str) -> MissingPackage:
    """The error where `package` is needed for `doing` and cannot be imported."""
    return MissingPackage(
        "%s needs %s, which this Python does not have: add '%s' to the pip packages of the environment (in a control "
        "script: pip install %s)" % (doing, package, package, package)
    )
