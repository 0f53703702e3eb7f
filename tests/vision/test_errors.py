"""The designer's errors: names, codes, messages, and error_info.json."""

from __future__ import annotations

import pytest

from toolkit import ToolkitError, UserErrorException
from toolkit.vision import errors
from toolkit.vision.errors import error_info


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            errors.GreaterThanOrEqualToError("Batch size", 2),
            5,
            'GreaterThanOrEqualToError: Parameter "Batch size" value should be greater than or equal to 2.',
        ),
        (
            errors.LessThanOrEqualToError("Batch size", 20, "train data count", 10),
            7,
            'LessThanOrEqualToError: Parameter "Batch size" value 20 should be less than or equal to train data count '
            "value 10.",
        ),
        (
            errors.NotInRangeValueError("Fraction", 0.1, 0.9),
            8,
            'NotInRangeValueError: Parameter "Fraction" value should be in the range of [0.1, 0.9].',
        ),
        (
            errors.InvalidDatasetError("Training dataset", "categories differ", "Use others."),
            18,
            "InvalidDatasetError: Training dataset is not valid, reason: categories differ. Use others.",
        ),
        (
            errors.NotLabeledDatasetError("Training dataset", "Label it."),
            24,
            'NotLabeledDatasetError: There is no label column in "Training dataset". Label it.',
        ),
        (errors.TimeoutOccuredError(), 72, "TimeoutOccuredError: Connection timeout occured."),
        (
            errors.ModuleOutOfMemoryError("CUDA"),
            138,
            "ModuleOutOfMemoryError: Memory has been exhausted, unable to complete running of module. Details: CUDA",
        ),
        (
            errors.InvalidTransformationDirectoryError("Image", "no list"),
            158,
            'InvalidTransformationDirectoryError: TransformationDirectory "Image" is invalid. Reason: no list.',
        ),
        (
            errors.InvalidModelDirectoryError("Untrained model", "a pickle.", "Hint."),
            159,
            'InvalidModelDirectoryError: ModelDirectory "Untrained model" is invalid. Reason: a pickle. Hint.',
        ),
        (
            errors.FailedToDownloadFilesError("resnet18.pth"),
            162,
            'FailedToDownloadFilesError: Failed to download "resnet18.pth" due to internet error. Please check compute '
            "network settings.",
        ),
    ],
)
def test_code_and_message(error: errors.ModuleError, code: int, text: str) -> None:
    assert (error.code, str(error)) == (code, text)
    assert isinstance(error, ToolkitError)
    facts = error_info(error)["Exception"]
    assert facts == {
        "ErrorId": text.partition(":")[0], "ErrorCode": code, "ExceptionType": "ModuleException", "Traceback": "",
        "Message": text,
    }  # fmt: skip


def test_success_and_other_errors() -> None:
    assert error_info(None) == {"Exception": None}
    other = error_info(ZeroDivisionError("by zero"))["Exception"]
    assert (other["ErrorId"], other["ErrorCode"]) == ("LibraryExceptionError", 1000)
    assert other["ExceptionType"] == "LibraryException" and other["Message"] == "ZeroDivisionError: by zero"
    assert error_info(UserErrorException("no"))["Exception"]["ErrorCode"] == 2000


def test_a_module_error_among_the_causes_wins_and_memory_is_told() -> None:
    def raised(cause: Exception) -> Exception:
        try:
            try:
                raise cause
            except Exception as error:
                raise RuntimeError("it failed") from error
        except RuntimeError as error:
            return error

    assert error_info(raised(errors.TimeoutOccuredError()))["Exception"]["ErrorCode"] == 72
    assert error_info(raised(MemoryError("no more")))["Exception"]["ErrorCode"] == 138


def test_a_long_message_is_cut() -> None:
    assert len(error_info(ValueError("x" * 20_000))["Exception"]["Message"]) == 4096
