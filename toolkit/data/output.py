"""`OutputFileDatasetConfig`: a folder that a run writes, kept in a datastore and, if asked for, as a data set."""

import copy
import uuid
from typing import Any, Dict, List, Optional, Tuple, Union

from toolkit.data.consumption import DatasetConsumptionConfig, Named, checked_input_name
from toolkit.data.data_reference import DataPath
from toolkit.data.data_type import DataType, PromoteHeadersBehavior
from toolkit.data.datastore import Datastore
from toolkit.data.patterns import checked
from toolkit.inscript.errors import UserErrorException

DEFAULT_PATH = "dataset/{run-id}/{output-name}"


class OutputFileDatasetConfig(Named):
    """A folder that a run writes to. In arguments it becomes its path.

    Args:
        name: its name in the run.
        destination: where it is kept: `(datastore, 'path')` or a `DataPath`, in which `{run-id}` and `{output-name}`
            are filled in. By default a folder of the run in the default datastore.
        source: a folder relative to the working directory, which is copied to the destination when the run ends;
            without it, the run writes into the destination itself where that is a folder of this machine.
        partition_format: columns in the paths, for the data set that it becomes.
    """

    def __init__(
        self,
        name: Optional[str] = None,
        destination: Any = None,
        source: Optional[str] = None,
        partition_format: Optional[str] = None,
    ) -> None:
        self._name = checked_input_name("output_" + uuid.uuid4().hex[:8] if name is None else name)
        self.destination = _destination(destination)
        self.source = checked(source, "the source of an output") if source is not None else None
        self.partition_format = partition_format
        self.mode = "mount" if source is None else "upload"
        self.overwrite = False
        self.source_globs: Optional[List[str]] = None
        self.registration: Optional[Dict[str, Any]] = None
        self.read: Optional[Dict[str, Any]] = None

    def __repr__(self) -> str:
        return "OutputFileDatasetConfig(name=%r, destination=%r)" % (self._name, self.destination)

    def _changed(self, **changes: Any) -> "OutputFileDatasetConfig":
        made = copy.copy(self)
        made.__dict__.update(changes)
        return made

    def as_mount(self, disable_metadata_cache: bool = False) -> "OutputFileDatasetConfig":
        """What the run writes is in the datastore at once, where that is a folder; else at the end of the run."""
        if self.source is not None:
            raise UserErrorException("an output with a source is copied from there: use as_upload, or no source")
        return self._changed(mode="mount")

    def as_upload(self, overwrite: bool = False, source_globs: Optional[List[str]] = None) -> "OutputFileDatasetConfig":
        """What the run leaves is copied to the datastore at its end.

        Args:
            overwrite: whether files that are there are replaced; else the run fails.
            source_globs: only these files, as in ["**/*.csv"].
        """
        globs = [source_globs] if isinstance(source_globs, str) else source_globs
        return self._changed(mode="upload", overwrite=overwrite, source_globs=globs)

    def as_input(self, name: Optional[str] = None) -> DatasetConsumptionConfig:
        """This output as the input of another run."""
        return DatasetConsumptionConfig(name or self._name, self, "mount")

    def register_on_complete(
        self, name: str, description: Optional[str] = None, tags: Optional[Dict[str, str]] = None
    ) -> "OutputFileDatasetConfig":
        """Register the output as a version of the data set `name`, when the run has completed."""
        from toolkit.data.records import checked_name

        return self._changed(
            registration={"name": checked_name(name), "description": description, "tags": dict(tags or {})}
        )

    def read_delimited_files(
        self,
        include_path: bool = False,
        separator: str = ",",
        header: Any = PromoteHeadersBehavior.ALL_FILES_HAVE_SAME_HEADERS,
        partition_format: Optional[str] = None,
        path_glob: Optional[str] = None,
        set_column_types: Optional[Dict[str, DataType]] = None,
    ) -> "OutputTabularDatasetConfig":
        """The output is a tabular data set of delimited files."""
        behaviour = PromoteHeadersBehavior.ALL_FILES_HAVE_SAME_HEADERS if header is True else int(header)
        read = {"format": "delimited", "separator": separator, "header": behaviour, "infer": True}
        return self._tabular(read, include_path, partition_format, path_glob, set_column_types)

    def read_parquet_files(
        self,
        include_path: bool = False,
        partition_format: Optional[str] = None,
        path_glob: Optional[str] = None,
        set_column_types: Optional[Dict[str, DataType]] = None,
    ) -> "OutputTabularDatasetConfig":
        """The output is a tabular data set of Parquet files."""
        read = {"format": "parquet", "infer": False}
        return self._tabular(read, include_path, partition_format, path_glob, set_column_types)

    def _tabular(
        self,
        read: Dict[str, Any],
        include_path: bool,
        partition_format: Optional[str],
        path_glob: Optional[str],
        types: Optional[Dict[str, DataType]],
    ) -> "OutputTabularDatasetConfig":
        if types:
            read["types"] = {name: kind.to_plain() for name, kind in types.items()}
        made = object.__new__(OutputTabularDatasetConfig)
        made.__dict__.update(self.__dict__)
        made.read = {"read": read, "include_path": include_path, "glob": checked(path_glob), "steps": []}
        made.partition_format = partition_format or self.partition_format
        return made

    def record(self, default: Datastore) -> Dict[str, Any]:
        """What a run's definition holds of the output. `default` is the workspace's default datastore."""
        store, path = self.destination
        return {
            "name": self._name,
            "mode": self.mode,
            "datastore": (store or default).name,
            "path": path or DEFAULT_PATH,
            "source": self.source,
            "globs": self.source_globs,
            "overwrite": self.overwrite,
            "partition_format": self.partition_format,
            "read": self.read,
            "register": self.registration,
        }


class OutputTabularDatasetConfig(OutputFileDatasetConfig):
    """An output that becomes a tabular data set: what `OutputFileDatasetConfig.read_delimited_files` gives."""

    def keep_columns(self, columns: Union[str, List[str]]) -> "OutputTabularDatasetConfig":
        """Only these columns."""
        return self._stepped("keep", columns)

    def drop_columns(self, columns: Union[str, List[str]]) -> "OutputTabularDatasetConfig":
        """All columns but these."""
        return self._stepped("drop", columns)

    def _stepped(self, name: str, columns: Union[str, List[str]]) -> "OutputTabularDatasetConfig":
        read: Dict[str, Any] = self.read or {}
        names = [columns] if isinstance(columns, str) else list(columns)
        made = copy.copy(self)
        made.read = {**read, "steps": [*read["steps"], [name, {"columns": names}]]}
        return made


class LinkFileOutputDatasetConfig:
    """Not offered: see the error."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        raise UserErrorException(
            "%s, by which a script names a data set as its output, is not offered: use OutputFileDatasetConfig, or "
            "register the data set in the script" % type(self).__name__
        )


class LinkTabularOutputDatasetConfig(LinkFileOutputDatasetConfig):
    """Not offered: see the error."""


def _destination(destination: Any) -> Tuple[Optional[Datastore], Optional[str]]:
    if destination is None:
        return None, None
    if isinstance(destination, Datastore):
        return destination, None
    if isinstance(destination, DataPath):
        return destination._datastore, destination.path_on_datastore
    if isinstance(destination, tuple) and len(destination) == 2 and isinstance(destination[0], Datastore):
        return destination[0], checked(destination[1]) or None
    raise UserErrorException(
        "destination is %r; it must be (datastore, 'path/{run-id}/{output-name}') or a DataPath" % (destination,)
    )


def definition_of(record: Dict[str, Any], path: str) -> Dict[str, Any]:
    """The data set that an output has become, at `path` of its datastore."""
    tabular = record.get("read")
    glob = tabular["glob"] if tabular else ""
    definition: Dict[str, Any] = {
        "type": "tabular" if tabular else "file",
        "sources": [{"datastore": record["datastore"], "path": "/".join(part for part in (path, glob) if part)}],
    }
    if record.get("partition_format"):
        definition["partition_format"] = record["partition_format"]
    if tabular:
        definition.update({"read": tabular["read"], "steps": tabular["steps"]})
        if tabular["include_path"]:
            definition["include_path"] = True
    return definition


def filled(path: str, run_id: str, name: str) -> str:
    """`path` with `{run-id}` and `{output-name}` filled in."""
    return path.replace("{run-id}", run_id).replace("{output-name}", name)
