"""`Dataset`: where data sets are made and found."""

from typing import Any, Dict, Optional

from toolkit.data import records
from toolkit.data.abstract_dataset import AbstractDataset
from toolkit.data.factory import FileDatasetFactory, TabularDatasetFactory
from toolkit.data.file_dataset import FileDataset
from toolkit.data.tabular_dataset import TabularDataset
from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.values import warn_once

_KINDS = {"file": FileDataset, "tabular": TabularDataset}


class Dataset:
    """Makes data sets (`Dataset.File`, `Dataset.Tabular`) and finds those of a workspace."""

    File = FileDatasetFactory
    Tabular = TabularDatasetFactory

    def __init__(self, *args: object, **kwargs: object) -> None:
        raise UserErrorException(
            "data sets are made by Dataset.File.from_files and Dataset.Tabular.from_delimited_files, or found by "
            "Dataset.get_by_name; in RunConfiguration.data it is azureml.core.runconfig.Dataset"
        )

    @staticmethod
    def get_by_name(workspace: Any, name: str, version: Any = "latest", **kwargs: object) -> Any:
        """A registered data set.

        Args:
            version: a number, or "latest".

        Raises:
            UserErrorException: it is not registered.
        """
        record = records.read(workspace.shared, name, version)
        return made(records.find(workspace.shared, record["id"]), workspace, record)

    @staticmethod
    def get_by_id(workspace: Any, id: str, **kwargs: object) -> Any:
        """A data set by its id, registered or not.

        Raises:
            UserErrorException: the workspace has none of this id.
        """
        from toolkit.data.inputs import direct_input

        own = direct_input(workspace, str(id))
        if own is not None:
            return own
        definition = records.find(workspace.shared, id)
        return made(definition, workspace, records.registration_of(workspace.shared, id))

    @staticmethod
    def get_all(workspace: Any) -> Dict[str, Any]:
        """The latest version of each registered data set by name."""
        return {name: Dataset.get_by_name(workspace, name) for name in records.names(workspace.shared)}

    # -- what was deprecated in Azure ML SDK v1 -----------------------------------------------------------------------

    @staticmethod
    def get(workspace: Any, name: Optional[str] = None, id: Optional[str] = None) -> Any:
        """Deprecated: `get_by_name` and `get_by_id`."""
        if name is not None:
            return Dataset.get_by_name(workspace, name)
        if id is None:
            raise UserErrorException("Dataset.get needs the name or the id of a data set")
        return Dataset.get_by_id(workspace, id)

    @staticmethod
    def list(workspace: Any) -> Any:
        """Deprecated: `get_all`."""
        return [*Dataset.get_all(workspace).values()]

    @staticmethod
    def auto_read_files(
        path: Any, include_path: bool = False, partition_format: Optional[str] = None
    ) -> TabularDataset:
        """Deprecated: a tabular data set of whatever the first path's name says, Parquet, JSON lines or delimited."""
        first = str(path[0] if isinstance(path, list) else path[1] if isinstance(path, tuple) else path)
        make: Any = TabularDatasetFactory.from_delimited_files
        options: Dict[str, Any] = {"separator": "\t"} if first.endswith(".tsv") else {}
        if first.endswith((".parquet", ".parq")):
            make = TabularDatasetFactory.from_parquet_files
        elif first.endswith((".json", ".jsonl")):
            make = TabularDatasetFactory.from_json_lines_files
        warn_once("auto_read_files", "Dataset.auto_read_files goes by the name of the file: %s" % make.__name__)
        return make(path, include_path=include_path, partition_format=partition_format, **options)  # type: ignore[no-any-return]

    @staticmethod
    def from_delimited_files(path: Any, separator: str = ",", **kwargs: Any) -> TabularDataset:
        """Deprecated: `Dataset.Tabular.from_delimited_files`, whose arguments it takes.

        Raises:
            UserErrorException: an argument that is not offered and would change what is read.
        """
        unread = {"quoting": False, "skip_rows": 0, "skip_mode": 0, "comment": None, "archive_options": None}
        for key, default in unread.items():
            if kwargs.pop(key, default) != default:
                raise UserErrorException("Dataset.from_delimited_files(%s=…) is not offered: leave it out" % key)
        return TabularDatasetFactory.from_delimited_files(path, separator=separator, **kwargs)

    @staticmethod
    def from_parquet_files(
        path: Any, include_path: bool = False, partition_format: Optional[str] = None
    ) -> TabularDataset:
        """Deprecated: `Dataset.Tabular.from_parquet_files`."""
        return TabularDatasetFactory.from_parquet_files(
            path, include_path=include_path, partition_format=partition_format
        )


def made(definition: Dict[str, Any], workspace: Any, registration: Optional[Dict[str, Any]] = None) -> AbstractDataset:
    """The data set of a definition."""
    return _KINDS[definition["type"]](definition, workspace, registration)
