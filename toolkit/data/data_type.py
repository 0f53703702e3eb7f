"""`DataType` and the other small vocabularies of tabular data sets."""

from typing import Any, Dict, List, Optional, Union


class DataType:
    """The type that a column is read as: an entry of `set_column_types`."""

    def __init__(self, kind: str, **options: Any) -> None:
        self.kind = kind
        self.options = options

    def to_plain(self) -> Dict[str, Any]:
        return {"kind": self.kind, **self.options}

    @staticmethod
    def to_string() -> "DataType":
        return DataType("string")

    @staticmethod
    def to_long() -> "DataType":
        return DataType("long")

    @staticmethod
    def to_float(decimal_mark: str = ".") -> "DataType":
        return DataType("float", decimal_mark=decimal_mark)

    @staticmethod
    def to_bool(
        true_values: Union[str, List[str], None] = None,
        false_values: Union[str, List[str], None] = None,
        mismatch_as: Optional[str] = None,
    ) -> "DataType":
        return DataType("bool", true_values=_listed(true_values), false_values=_listed(false_values))

    @staticmethod
    def to_datetime(formats: Union[str, List[str], None] = None) -> "DataType":
        """A time; `formats` as strptime has them, tried in this order."""
        return DataType("datetime", formats=_listed(formats))

    @staticmethod
    def to_stream(workspace: Any = None, escaped: bool = False) -> "DataType":
        """The path or URL of a file, for `TabularDataset.download`."""
        return DataType("stream")


def _listed(values: Union[str, List[str], None]) -> Optional[List[str]]:
    return [values] if isinstance(values, str) else values


class PromoteHeadersBehavior:
    """Which files of a delimited data set have the names of the columns in their first line."""

    NO_HEADERS = 0
    ONLY_FIRST_FILE_HAS_HEADERS = 1
    COMBINE_ALL_FILES_HEADERS = 2
    ALL_FILES_HAVE_SAME_HEADERS = 3


class FileEncoding:
    """Encodings of text files."""

    UTF8 = "utf8"
    ISO88591 = "iso88591"
    LATIN1 = "latin1"
    ASCII = "ascii"
    UTF16 = "utf16"
    UTF32 = "utf32"
    UTF8BOM = "utf8bom"
    WINDOWS1252 = "windows1252"


class SkipLinesBehavior:
    """Which files of a delimited data set have their first lines skipped."""

    NO_ROWS = 0
    FROM_FIRST_FILE_ONLY = 1
    FROM_ALL_FILES = 2
