"""Places in datastores that a run is given: `DataReference`, `DataPath` and how they are configured."""

import hashlib
import re
from typing import Any, Optional

from toolkit.data.patterns import checked
from toolkit.data.run_data import Data, DataLocation, Dataset, OutputData, OutputLocation, OutputOptions
from toolkit.inscript.errors import UserErrorException

__all__ = [
    "Data",
    "DataLocation",
    "DataPath",
    "DataPathComputeBinding",
    "DataReference",
    "DataReferenceConfiguration",
    "Dataset",
    "OutputData",
    "OutputLocation",
    "OutputOptions",
]

MODES = ("mount", "download", "upload")
VARIABLE = "AZUREML_DATAREFERENCE_"


def as_argument(name: str) -> str:
    """What stands in a run's arguments for an input or output until the script starts."""
    return "$" + VARIABLE + name


def checked_mode(mode: str) -> str:
    if mode not in MODES:
        raise UserErrorException("the mode %r is not offered: it is one of %s" % (mode, ", ".join(MODES)))
    return mode


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"\w+", name, re.ASCII):
        raise UserErrorException(
            "%r cannot be the name of a data reference, which is part of the name of an environment variable: use "
            "letters, digits and underscores" % (name,)
        )
    return name


class DataReference:
    """A file or folder of a datastore for a run. In arguments it becomes a path.

    Args:
        datastore: the datastore.
        data_reference_name: its name in the run; by default made from the place.
        path_on_datastore: the file or folder; None is the whole datastore.
        mode: "mount" (the place itself, which may be written to), "download" (a copy) or "upload" (what the run leaves
            at `path_on_compute` is copied to the datastore at its end).
        path_on_compute: where the run has it, relative to its working directory.
        overwrite: whether an upload may replace files.
    """

    def __init__(
        self,
        datastore: Any,
        data_reference_name: Optional[str] = None,
        path_on_datastore: Optional[str] = None,
        mode: str = "mount",
        path_on_compute: Optional[str] = None,
        overwrite: bool = False,
    ) -> None:
        self.datastore = datastore
        self.path_on_datastore = checked(path_on_datastore) or None
        self.data_reference_name = _checked_name(data_reference_name or self._own_name())
        self.mode = checked_mode(mode)
        self.path_on_compute = path_on_compute
        self.overwrite = overwrite

    def _own_name(self) -> str:
        name = str(self.datastore.name)
        if self.path_on_datastore is None:
            return re.sub(r"\W", "_", name)
        return hashlib.sha256(("%s/%s" % (name, self.path_on_datastore)).encode()).hexdigest()[:32]

    def __str__(self) -> str:
        return as_argument(self.data_reference_name)

    def __repr__(self) -> str:
        return str(self)

    def path(self, path: Optional[str] = None, data_reference_name: Optional[str] = None) -> "DataReference":
        """A place below this one."""
        whole = "/".join(part for part in (self.path_on_datastore, checked(path)) if part)
        return DataReference(self.datastore, data_reference_name, whole, self.mode)

    def as_mount(self) -> "DataReference":
        return self._with("mount", None, False)

    def as_download(self, path_on_compute: Optional[str] = None, overwrite: bool = False) -> "DataReference":
        return self._with("download", path_on_compute, overwrite)

    def as_upload(self, path_on_compute: Optional[str] = None, overwrite: bool = False) -> "DataReference":
        return self._with("upload", path_on_compute, overwrite)

    def _with(self, mode: str, path_on_compute: Optional[str], overwrite: bool) -> "DataReference":
        return DataReference(
            self.datastore, self.data_reference_name, self.path_on_datastore, mode, path_on_compute, overwrite
        )

    def to_config(self) -> "DataReferenceConfiguration":
        """As an entry of `RunConfiguration.data_references`."""
        return DataReferenceConfiguration(
            datastore_name=self.datastore.name,
            mode=self.mode,
            path_on_datastore=self.path_on_datastore,
            path_on_compute=self.path_on_compute,
            overwrite=self.overwrite,
        )

    @staticmethod
    def create(
        data_reference_name: Optional[str] = None,
        datapath: "Optional[DataPath]" = None,
        datapath_compute_binding: "Optional[DataPathComputeBinding]" = None,
    ) -> "DataReference":
        """A reference of a `DataPath`."""
        if datapath is None:
            raise UserErrorException("DataReference.create needs a datapath")
        return datapath.create_data_reference(data_reference_name, datapath_compute_binding)


class DataReferenceConfiguration:
    """A `DataReference` as `RunConfiguration.data_references` holds it, by the name that the run has for it."""

    def __init__(
        self,
        datastore_name: Optional[str] = None,
        mode: str = "mount",
        path_on_datastore: Optional[str] = None,
        path_on_compute: Optional[str] = None,
        overwrite: bool = False,
    ) -> None:
        self.datastore_name = datastore_name
        self.mode = checked_mode(mode)
        self.path_on_datastore = path_on_datastore
        self.path_on_compute = path_on_compute
        self.overwrite = overwrite


class DataPathComputeBinding:
    """How a run is given a `DataPath`: the mode and the path of a `DataReference`."""

    def __init__(self, mode: str = "mount", path_on_compute: Optional[str] = None, overwrite: bool = False) -> None:
        self.mode = checked_mode(mode)
        self.path_on_compute = path_on_compute
        self.overwrite = overwrite

    def create_data_reference(self, data_reference_name: str, datapath: "DataPath") -> DataReference:
        return datapath.create_data_reference(data_reference_name, self)


class DataPath:
    """A file, folder or glob in a datastore."""

    def __init__(
        self, datastore: Any = None, path_on_datastore: Optional[str] = None, name: Optional[str] = None
    ) -> None:
        if datastore is None:
            raise UserErrorException("DataPath needs a datastore: DataPath(datastore, 'path')")
        self._datastore = datastore
        self._path_on_datastore = checked(path_on_datastore) or None
        self._name = name

    @property
    def datastore_name(self) -> str:
        return str(self._datastore.name)

    @property
    def path_on_datastore(self) -> Optional[str]:
        return self._path_on_datastore

    def create_data_reference(
        self,
        data_reference_name: Optional[str] = None,
        datapath_compute_binding: Optional[DataPathComputeBinding] = None,
    ) -> DataReference:
        binding = datapath_compute_binding or DataPathComputeBinding()
        return DataReference(
            self._datastore,
            data_reference_name or self._name,
            self._path_on_datastore,
            binding.mode,
            binding.path_on_compute,
            binding.overwrite,
        )

    @staticmethod
    def create_from_data_reference(data_reference: DataReference) -> "DataPath":
        return DataPath(data_reference.datastore, data_reference.path_on_datastore, data_reference.data_reference_name)
