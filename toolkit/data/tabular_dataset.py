"""`TabularDataset`: rows in files, read into a data frame when that is asked for."""

import datetime
import uuid
from typing import Any, Dict, List, Optional, Tuple, Union

from toolkit.data.abstract_dataset import AbstractDataset
from toolkit.data.errors import DatasetTimestampMissingError, DatasetValidationError
from toolkit.data.expressions import Expression, column, plain
from toolkit.data.frames import frame_of
from toolkit.inscript.errors import UserErrorException

Columns = Union[str, List[str]]


class TabularDataset(AbstractDataset):
    """Rows in files, as one data set; made by `Dataset.Tabular.from_delimited_files` and its like."""

    kind = "tabular"

    def _stepped(self, name: str, arguments: Dict[str, Any]) -> "TabularDataset":
        return self._like({"steps": [*self.definition["steps"], [name, arguments]]})

    # -- rows and columns ---------------------------------------------------------------------------------------------

    def to_pandas_dataframe(self, on_error: str = "null", out_of_range_datetime: str = "null", **kwargs: object) -> Any:
        """All rows as a `pandas.DataFrame`.

        Args:
            on_error: for a value that does not fit its column's type: "null" leaves it out, "fail" raises.

        Raises:
            MissingPackage: this Python has no pandas.
            DatasetExecutionError: the files cannot be read.
        """
        for name, value in (("on_error", on_error), ("out_of_range_datetime", out_of_range_datetime)):
            if value not in ("null", "fail"):
                raise UserErrorException("%s is %r; it is 'null' or 'fail'" % (name, value))
        strict = "fail" in (on_error, out_of_range_datetime)
        return frame_of(self.definition, self._files(), "fail" if strict else "null")

    def to_spark_dataframe(self) -> Any:
        raise UserErrorException("Spark is not offered: use to_pandas_dataframe()")

    def to_dask_dataframe(self, sample_size: int = 10000, dtypes: Any = None, **kwargs: object) -> Any:
        raise UserErrorException("Dask is not offered: dask.dataframe.from_pandas(dataset.to_pandas_dataframe())")

    def __getitem__(self, name: Columns) -> Any:
        """A column for a condition, or the data set with only these columns."""
        return column(name) if isinstance(name, str) else self.keep_columns(name)

    def keep_columns(self, columns: Columns, validate: bool = False) -> "TabularDataset":
        """Only these columns, in this order.

        Raises:
            DatasetValidationError: with `validate`, one is not there.
        """
        names = _names(columns)
        made = self._stepped("keep", {"columns": names})
        if validate:
            made.take(1).to_pandas_dataframe()
        kept = {key: name if name in names else None for key, name in self._timestamps().items()}
        return made._like({"timestamps": kept}) if any(self._timestamps().values()) else made

    def drop_columns(self, columns: Columns) -> "TabularDataset":
        """All columns but these."""
        names = _names(columns)
        lost = sorted(set(names) & {name for name in self._timestamps().values() if name})
        if lost:
            raise UserErrorException("%s is a timestamp column of the data set: it cannot be dropped" % ", ".join(lost))
        return self._stepped("drop", {"columns": names})

    # -- times --------------------------------------------------------------------------------------------------------

    def _timestamps(self) -> Dict[str, Optional[str]]:
        return dict(self.definition.get("timestamps") or {})

    @property
    def timestamp_columns(self) -> Tuple[Optional[str], Optional[str]]:
        """The timestamp column and the one of the paths."""
        found = self._timestamps()
        return found.get("timestamp"), found.get("partition_timestamp")

    def with_timestamp_columns(
        self,
        timestamp: Optional[str] = None,
        partition_timestamp: Optional[str] = None,
        validate: bool = False,
        fine_grain_timestamp: Optional[str] = None,
        coarse_grain_timestamp: Optional[str] = None,
        **kwargs: Any,
    ) -> "TabularDataset":
        """Say which column has the times of the rows, for `time_before` and its like.

        Args:
            fine_grain_timestamp, coarse_grain_timestamp: what the first two were called before.
        """
        timestamp = timestamp or fine_grain_timestamp
        partition_timestamp = partition_timestamp or coarse_grain_timestamp
        if partition_timestamp is not None and timestamp is None:
            raise UserErrorException("partition_timestamp needs a timestamp column beside it")
        found = {"timestamp": timestamp, "partition_timestamp": partition_timestamp}
        if validate:
            names = list(self.take(1).to_pandas_dataframe().columns)
            missing = [name for name in found.values() if name and name not in names]
            if missing:
                raise DatasetValidationError("there is no column '%s'; there are: %s" % (missing[0], ", ".join(names)))
        return self._like({"timestamps": found})

    def time_before(self, end_time: Any, include_boundary: bool = True, validate: bool = True) -> "TabularDataset":
        """The rows up to a time."""
        condition = self._time_column() <= end_time if include_boundary else self._time_column() < end_time
        return self.filter(condition)

    def time_after(self, start_time: Any, include_boundary: bool = True, validate: bool = True) -> "TabularDataset":
        """The rows from a time on."""
        condition = self._time_column() >= start_time if include_boundary else self._time_column() > start_time
        return self.filter(condition)

    def time_between(
        self, start_time: Any, end_time: Any, include_boundary: bool = True, validate: bool = True
    ) -> "TabularDataset":
        """The rows between two times."""
        return self.time_after(start_time, include_boundary).time_before(end_time, include_boundary)

    def time_recent(
        self, time_delta: datetime.timedelta, include_boundary: bool = True, validate: bool = True
    ) -> "TabularDataset":
        """The rows of the last `time_delta`, as of now."""
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        return self.time_after(now - time_delta, include_boundary)

    def _time_column(self) -> Expression:
        timestamp, partition_timestamp = self.timestamp_columns
        name = timestamp or partition_timestamp
        if name is None:
            raise DatasetTimestampMissingError(
                "the data set has no timestamp column: say which it is by with_timestamp_columns(timestamp='…')"
            )
        return column(name)

    # -- files of it --------------------------------------------------------------------------------------------------

    def to_csv_files(self, separator: str = ",") -> Any:
        """The rows as a CSV file, written to the default datastore: a `FileDataset` of it."""
        return self._written("csv", lambda frame, path: frame.to_csv(path, sep=separator, index=False), separator)

    def to_parquet_files(self) -> Any:
        """The rows as a Parquet file, written to the default datastore: a `FileDataset` of it."""
        return self._written("parquet", lambda frame, path: frame.to_parquet(path, index=False), "")

    def _written(self, extension: str, write: Any, option: str) -> Any:
        from toolkit.data import writing
        from toolkit.data.datastore import Datastore

        store = Datastore.get_default(self._workspace("writing files"))
        folder = "managed-dataset/%s" % uuid.uuid5(uuid.NAMESPACE_OID, self.id + self.content() + extension + option)
        return writing.file_dataset(self.to_pandas_dataframe(), store, folder, extension, write)

    def partition_by(
        self,
        partition_keys: List[str],
        target: Any,
        name: Optional[str] = None,
        show_progress: bool = True,
        partition_as_file_dataset: bool = False,
    ) -> Any:
        """Write the rows to `target`, a folder for each combination of the keys: a data set that has the keys in paths.

        Args:
            target: a `DataPath`, or `(datastore, 'path')`.
            name: registers the new data set.
        """
        from toolkit.data import writing

        return writing.partitioned(self, partition_keys, target, name, show_progress, partition_as_file_dataset)

    def download(
        self,
        stream_column: str,
        target_path: Optional[str] = None,
        overwrite: bool = False,
        ignore_not_found: bool = True,
    ) -> List[str]:
        """Copy the files that a column names, by path or URL, into a folder. Returns the paths of the copies."""
        from toolkit.data import writing

        values = self.to_pandas_dataframe()[stream_column].dropna().tolist()
        return writing.download_streams(self.workspace, values, target_path, overwrite, ignore_not_found)

    def get_profile(self, workspace: Any = None) -> Any:
        """Count, mean, quartiles and so on of each column, as a data frame."""
        return self.to_pandas_dataframe().describe(include="all")


def _names(columns: Columns) -> List[str]:
    names = [columns] if isinstance(columns, str) else list(columns)
    if not names or not all(isinstance(name, str) for name in names):
        raise UserErrorException("columns must be a name or a list of names, not %r" % (columns,))
    return [str(plain(name)) for name in names]
