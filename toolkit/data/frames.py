"""Reading the files of a tabular data set into a data frame of pandas, and applying its steps."""

import re
from typing import IO, Any, Dict, List, Optional

from toolkit.data import partitions
from toolkit.data.data_type import PromoteHeadersBehavior
from toolkit.data.errors import DatasetExecutionError, DatasetValidationError, missing_package
from toolkit.data.expressions import evaluate
from toolkit.data.files import DataFile, draws
from toolkit.inscript.errors import ToolkitError

PATH_COLUMN = "Path"
_ENCODINGS = {"iso88591": "latin-1", "utf8bom": "utf-8-sig", "windows1252": "cp1252"}
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?")
_NO_NUMBER = {"NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A", "-"}  # among numbers: no value


def pandas() -> Any:
    """The module.

    Raises:
        MissingPackage: this Python does not have it.
    """
    try:
        import pandas as module
    except ImportError:
        raise missing_package("pandas", "reading a TabularDataset")
    return module


def frame_of(definition: Dict[str, Any], files: List[DataFile], on_error: str = "null") -> Any:
    """The rows of a tabular data set as a `pandas.DataFrame`.

    Args:
        on_error: "null" for values that do not fit a column's type, or "fail".

    Raises:
        DatasetExecutionError: a file cannot be read, or a value does not fit.
        DatasetValidationError: a step names a column that is not there.
    """
    library = pandas()
    if not files:
        raise DatasetExecutionError("the dataset has no files: its paths lead to nothing (any more)")
    frames: List[Any] = []
    rows, limit = 0, _rows_needed(definition["steps"])
    for index, file in enumerate(files):
        one = _read(library, definition, file, index == 0)
        if index and definition["read"].get("header") == PromoteHeadersBehavior.ONLY_FIRST_FILE_HAS_HEADERS:
            one.columns = frames[0].columns
        frames.append(one)
        rows += len(one)
        if limit is not None and rows >= limit:
            break
    whole = library.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    types = definition["read"].get("types") or {}
    if definition["read"].get("infer", True):
        for name in whole.columns:
            if name not in types:
                whole[name] = _inferred(library, whole[name])
    for name, kind in types.items():
        if name not in whole.columns:
            raise DatasetValidationError(_no_column(name, whole))
        whole[name] = _typed(library, whole[name], kind, on_error)
    for step, arguments in definition["steps"]:
        whole = _step(library, whole, step, arguments)
    return whole.reset_index(drop=True)


def _rows_needed(steps: List[Any]) -> Optional[int]:
    """How many rows have to be read, where the steps begin with a `take`."""
    for name, arguments in steps:
        if name == "take":
            return int(arguments["count"])
        if name not in ("keep", "drop"):
            break
    return None


def _read(library: Any, definition: Dict[str, Any], file: DataFile, first: bool) -> Any:
    read = definition["read"]
    try:
        with file.location.open(file.entry.path) as stream:
            frame = _READERS[read["format"]](library, stream, read, first)
            if getattr(stream, "length", 0):  # see `Location.get`
                raise ValueError("it ended before it was whole: try again")
    except (ToolkitError, ImportError, MemoryError):
        raise
    except Exception as error:  # whatever pandas or pyarrow raise for content that they cannot read
        raise DatasetExecutionError("%s cannot be read as %s: %s" % (file.name, read["format"], error))
    columns: Dict[str, object] = {}
    if definition.get("include_path"):
        columns[PATH_COLUMN] = "/" + file.name
    if definition.get("partition_format"):
        columns.update(partitions.values(definition["partition_format"], file.path))
    for number, (name, value) in enumerate(columns.items()):
        if name in frame.columns:
            frame = frame.drop(columns=[name])
        frame.insert(number, name, value)
    return frame


def _read_delimited(library: Any, stream: IO[bytes], read: Dict[str, Any], first: bool) -> Any:
    header = read.get("header", PromoteHeadersBehavior.ALL_FILES_HAVE_SAME_HEADERS)
    in_this = header >= PromoteHeadersBehavior.COMBINE_ALL_FILES_HEADERS or (
        header == PromoteHeadersBehavior.ONLY_FIRST_FILE_HAS_HEADERS and first
    )
    typed = dict.fromkeys(read.get("types") or {}, str)
    try:
        frame = library.read_csv(
            stream,
            sep=read.get("separator", ","),
            header=0 if in_this else None,
            encoding=_ENCODINGS.get(str(read.get("encoding", "utf8")), read.get("encoding", "utf8")),
            dtype=typed if read.get("infer", True) else str,
            keep_default_na=False,
            na_values=None if read.get("empty_as_string") else [""],
            low_memory=False,
        )
    except library.errors.EmptyDataError:
        return library.DataFrame()
    if not in_this:
        frame.columns = ["Column%d" % (number + 1) for number in range(len(frame.columns))]
    return frame


def _read_parquet(library: Any, stream: IO[bytes], read: Dict[str, Any], first: bool) -> Any:
    import io

    try:
        return library.read_parquet(io.BytesIO(stream.read()))
    except ImportError:
        raise missing_package("pyarrow", "reading Parquet files")


def _read_json_lines(library: Any, stream: IO[bytes], read: Dict[str, Any], first: bool) -> Any:
    import io
    import json

    rows = []
    encoding = _ENCODINGS.get(str(read.get("encoding", "utf8")), str(read.get("encoding", "utf8")))
    with io.TextIOWrapper(stream, encoding=encoding) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                if read.get("invalid_lines", "error") != "drop":
                    raise ValueError(
                        "line %d is no JSON (%s); invalid_lines='drop' leaves such lines out" % (number, error)
                    )
    return library.DataFrame(rows)


_READERS = {"delimited": _read_delimited, "parquet": _read_parquet, "json_lines": _read_json_lines}


def _inferred(library: Any, column: Any) -> Any:
    """A column of text as numbers or times, where all of it is."""
    if not (library.api.types.is_object_dtype(column) or library.api.types.is_string_dtype(column)):
        return column
    present = column.dropna()
    if not len(present) or not all(isinstance(value, str) for value in present.head(20)):
        return column
    if _TIME.fullmatch(present.iloc[0]) and present.map(lambda value: bool(_TIME.fullmatch(str(value)))).all():
        return _naive(library, _parsed(library, column, "ISO8601", "coerce"))
    words = present.isin(_NO_NUMBER)
    if words.any() and not words.all():
        numbers = library.to_numeric(present[~words], errors="coerce")
        if not numbers.isna().any():
            return numbers.reindex(column.index)
    return column


def _parsed(library: Any, column: Any, form: str, errors: str) -> Any:
    """Text as times in UTC; before pandas 2, which has no such forms, it finds them by itself."""
    known = {"format": form} if int(library.__version__.split(".")[0]) >= 2 else {}
    return library.to_datetime(column, errors=errors, utc=True, **known)


def _naive(library: Any, column: Any) -> Any:
    """Times in UTC without a time zone, as Azure ML has them."""
    return column.dt.tz_localize(None) if getattr(column.dt, "tz", None) is not None else column


def _typed(library: Any, column: Any, kind: Dict[str, Any], on_error: str) -> Any:
    errors = "coerce" if on_error == "null" else "raise"
    try:
        if kind["kind"] in ("string", "stream"):
            return column.map(lambda value: value if isinstance(value, str) or library.isna(value) else str(value))
        if kind["kind"] == "float":
            if kind.get("decimal_mark", ".") != "." and not library.api.types.is_numeric_dtype(column):
                column = column.str.replace(kind["decimal_mark"], ".", regex=False)
            return library.to_numeric(column, errors=errors).astype("float64")
        if kind["kind"] == "long":
            numbers = library.to_numeric(column, errors=errors)
            return numbers if numbers.isna().any() else numbers.astype("int64")
        if kind["kind"] == "bool":
            return _booleans(column, kind, on_error)
        return _times(library, column, kind.get("formats"), errors)
    except (ValueError, TypeError) as error:
        raise DatasetExecutionError(
            "the column '%s' cannot be read as %s: %s; on_error='null' leaves such values out"
            % (column.name, kind["kind"], error)
        )


def _booleans(column: Any, kind: Dict[str, Any], on_error: str) -> Any:
    true = {str(value).lower() for value in kind.get("true_values") or ["true", "1", "yes"]}
    false = {str(value).lower() for value in kind.get("false_values") or ["false", "0", "no"]}
    known = {**dict.fromkeys(true, True), **dict.fromkeys(false, False)}
    found = column.map(lambda value: known.get(str(value).lower()))
    if found.isna().any():
        if on_error != "null" and (found.isna() & column.notna()).any():
            raise ValueError("%r is neither true nor false" % column[found.isna() & column.notna()].iloc[0])
        return found
    return found.astype(bool)


def _times(library: Any, column: Any, formats: Optional[List[str]], errors: str) -> Any:
    if not formats:
        return _naive(library, _parsed(library, column, "mixed", errors))
    found = library.to_datetime(column, format=formats[0], errors="coerce", utc=True)
    for form in formats[1:]:
        found = found.fillna(library.to_datetime(column, format=form, errors="coerce", utc=True))
    if errors == "raise" and (found.isna() & column.notna()).any():
        raise ValueError("%r has none of the formats %s" % (column[found.isna()].iloc[0], ", ".join(formats)))
    return _naive(library, found)


def _step(library: Any, frame: Any, name: str, arguments: Dict[str, Any]) -> Any:
    if name == "take":
        return frame.head(arguments["count"])
    if name == "skip":
        return frame.iloc[arguments["count"] :]
    if name == "drop":
        return frame.drop(columns=[column for column in arguments["columns"] if column in frame.columns])
    if name == "keep":
        for column in arguments["columns"]:
            if column not in frame.columns:
                raise DatasetValidationError(_no_column(column, frame))
        return frame[list(arguments["columns"])]
    if name == "filter":
        chosen = evaluate(arguments["expression"], _Columns(library, frame))
        return frame[chosen.fillna(False).astype(bool)]
    return frame[draws(name, arguments, len(frame))]


class _Columns:
    """The operations of conditions on whole columns."""

    def __init__(self, library: Any, frame: Any) -> None:
        self._library, self._frame = library, frame

    def column(self, name: str) -> Any:
        if name not in self._frame.columns:
            raise DatasetValidationError(_no_column(name, self._frame))
        return self._frame[name]

    @staticmethod
    def null(column: Any) -> Any:
        return column.isna()

    @staticmethod
    def negated(column: Any) -> Any:
        return ~column

    @staticmethod
    def member(column: Any, values: List[object]) -> Any:
        return column.isin(values)

    def compared(self, compare: Any, left: Any, right: Any) -> Any:
        if hasattr(right, "isoformat"):
            right = self._library.Timestamp(right)
            if not self._library.api.types.is_datetime64_any_dtype(left):
                left = _parsed(self._library, left, "mixed", "coerce")
            left = _naive(self._library, left)
        return compare(left, right)

    @staticmethod
    def text(name: str, column: Any, right: Any) -> Any:
        text = column.astype(str).str
        if name == "contains":
            return text.contains(right, regex=False)
        return text.startswith(right) if name == "starts_with" else text.endswith(right)


def _no_column(name: str, frame: Any) -> str:
    return "The requested column '%s' is not in the dataset; it has: %s" % (name, ", ".join(map(str, frame.columns)))
