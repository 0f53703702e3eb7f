"""`Dataset.File` and `Dataset.Tabular`: making data sets of files."""

import os
from typing import Any, Dict, List, Optional, Union

from toolkit.data.data_type import DataType, PromoteHeadersBehavior
from toolkit.data.errors import DatasetValidationError
from toolkit.data.file_dataset import FileDataset
from toolkit.data.files import listed
from toolkit.data.locations import Web
from toolkit.data.patterns import checked, matching
from toolkit.data.sources import Source, described, located, sources_of
from toolkit.data.tabular_dataset import TabularDataset
from toolkit.data.transfers import files_below, speaker, upload
from toolkit.inscript.errors import UserErrorException


class FileDatasetFactory:
    """Makes file data sets: `Dataset.File`."""

    @staticmethod
    def from_files(
        path: Any, validate: bool = True, partition_format: Optional[str] = None, is_file: bool = False
    ) -> FileDataset:
        """A data set of files.

        Args:
            path: a path or URL, `(datastore, 'path')`, a `DataPath`, or a list of them; a folder stands for all that
                is below it, and globs may be used.
            validate: whether to look if there is any file.
            partition_format: columns in the paths, as in '/{label}/{date:yyyy/MM/dd}/*.png'.

        Raises:
            DatasetValidationError: there is no such file.
        """
        sources, workspace = sources_of(path)
        if validate:
            _validate(sources, workspace)
        return FileDataset(_definition("file", sources, partition_format), workspace)

    @staticmethod
    def upload_directory(
        src_dir: str, target: Any, pattern: Optional[str] = None, overwrite: bool = False, show_progress: bool = True
    ) -> FileDataset:
        """Copy a folder of this machine to a datastore, and make a data set of it.

        Args:
            target: `(datastore, 'path')`, a `DataPath` or a datastore.
            pattern: a glob: only files below `src_dir` that match it.
        """
        from toolkit.data.writing import target_of

        say = speaker(show_progress)
        say("Validating arguments.")
        store, folder = target_of(target)
        pairs = files_below(os.path.expanduser(src_dir))
        if pattern is not None:
            names = {*matching(checked(pattern, "a pattern"), [name for _, name in pairs], below=True)}
            pairs = [(source, name) for source, name in pairs if name in names]
        say("Arguments validated.")
        say("Uploading file to %s" % (folder or "/"))
        upload(store.location, pairs, folder, overwrite, say)
        say("Creating new dataset")
        return FileDatasetFactory.from_files((store, folder))


class TabularDatasetFactory:
    """Makes tabular data sets: `Dataset.Tabular`."""

    @staticmethod
    def from_delimited_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        infer_column_types: bool = True,
        set_column_types: Optional[Dict[str, DataType]] = None,
        separator: str = ",",
        header: Union[bool, int] = True,
        partition_format: Optional[str] = None,
        support_multi_line: bool = False,
        empty_as_string: bool = False,
        encoding: str = "utf8",
    ) -> TabularDataset:
        """A data set of CSV files and their like.

        Args:
            path: as `Dataset.File.from_files` takes it.
            include_path: whether rows have a column "Path" with the name of their file.
            set_column_types: types by column; the others are inferred, with `infer_column_types`.
            header: whether each file has the names of the columns, or a `PromoteHeadersBehavior`.
            support_multi_line: quoted values may always have line breaks here.
            empty_as_string: whether an empty value is empty text rather than no value.
        """
        behaviour = PromoteHeadersBehavior.ALL_FILES_HAVE_SAME_HEADERS if header is True else int(header)
        read = {
            "format": "delimited",
            "separator": separator,
            "header": behaviour,
            "infer": infer_column_types,
            "empty_as_string": empty_as_string,
            "encoding": encoding,
        }
        return _tabular(path, validate, include_path, set_column_types, partition_format, read)

    @staticmethod
    def from_parquet_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        set_column_types: Optional[Dict[str, DataType]] = None,
        partition_format: Optional[str] = None,
    ) -> TabularDataset:
        """A data set of Parquet files; the arguments are those of `from_delimited_files`."""
        read = {"format": "parquet", "infer": False}
        return _tabular(path, validate, include_path, set_column_types, partition_format, read)

    @staticmethod
    def from_json_lines_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        set_column_types: Optional[Dict[str, DataType]] = None,
        partition_format: Optional[str] = None,
        invalid_lines: str = "error",
        encoding: str = "utf8",
    ) -> TabularDataset:
        """A data set of files with a JSON object a line; the arguments are those of `from_delimited_files`.

        Args:
            invalid_lines: "error", or "drop" to leave lines out that are no JSON.
        """
        if invalid_lines not in ("error", "drop"):
            raise UserErrorException("invalid_lines is %r; it is 'error' or 'drop'" % invalid_lines)
        read = {"format": "json_lines", "invalid_lines": invalid_lines, "encoding": encoding, "infer": True}
        return _tabular(path, validate, include_path, set_column_types, partition_format, read)

    @staticmethod
    def from_sql_query(
        query: Any, validate: bool = True, set_column_types: Any = None, query_timeout: int = 30
    ) -> TabularDataset:
        raise UserErrorException(
            "data sets of SQL queries are not offered: query with pandas.read_sql and keep the result with "
            "Dataset.Tabular.register_pandas_dataframe"
        )

    @staticmethod
    def register_pandas_dataframe(
        dataframe: Any,
        target: Any,
        name: str,
        description: Optional[str] = None,
        tags: Optional[Dict[str, str]] = None,
        show_progress: bool = True,
        row_group_size: Optional[int] = None,
        make_target_path_unique: bool = True,
    ) -> TabularDataset:
        """Write a data frame as a Parquet file below `target`, and register it as a new version of `name`.

        Args:
            target: `(datastore, 'path')`, a `DataPath` or a datastore.
            make_target_path_unique: whether it gets a folder of its own below `target`.
        """
        from toolkit.data.writing import register_frame

        return register_frame(  # type: ignore[no-any-return]
            dataframe, target, name, description, tags, show_progress, row_group_size, make_target_path_unique
        )

    @staticmethod
    def register_spark_dataframe(*args: Any, **kwargs: Any) -> TabularDataset:
        raise UserErrorException("Spark is not offered: register_pandas_dataframe(dataframe.toPandas(), …)")

    @staticmethod
    def register_dask_dataframe(*args: Any, **kwargs: Any) -> TabularDataset:
        raise UserErrorException("Dask is not offered: register_pandas_dataframe(dataframe.compute(), …)")


def _definition(kind: str, sources: List[Source], partition_format: Optional[str]) -> Dict[str, Any]:
    definition: Dict[str, Any] = {"type": kind, "sources": sources}
    if partition_format:
        definition["partition_format"] = partition_format
    return definition


def _tabular(
    path: Any,
    validate: bool,
    include_path: bool,
    types: Optional[Dict[str, DataType]],
    partition_format: Optional[str],
    read: Dict[str, Any],
) -> TabularDataset:
    sources, workspace = sources_of(path)
    if validate:
        _validate(sources, workspace)
    for name, kind in (types or {}).items():
        if not isinstance(kind, DataType):
            raise UserErrorException("set_column_types[%r] must be a DataType, as DataType.to_string()" % name)
    if types:
        read["types"] = {name: kind.to_plain() for name, kind in types.items()}
    definition = {**_definition("tabular", sources, partition_format), "read": read, "steps": []}
    if include_path:
        definition["include_path"] = True
    return TabularDataset(definition, workspace)


def _validate(sources: List[Source], workspace: Any) -> None:
    """Raise `DatasetValidationError` where a source has no file. The web is not asked before it is read."""
    shared = workspace.shared if workspace is not None else None
    for source in sources:
        location, _ = located(source, shared)
        if not isinstance(location, Web) and not listed([source], shared):
            raise DatasetValidationError(
                "Cannot load any data from the specified path. Make sure the path is accessible and contains data: "
                "there is no file at %s" % described(source)
            )
