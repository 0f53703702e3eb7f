"""`DatasetConsumptionConfig`: a data set as an input of a run, and how the run is given it."""

import re
from typing import Any, Optional

from toolkit.data.data_reference import as_argument
from toolkit.inscript.errors import UserErrorException

DIRECT, MOUNT, DOWNLOAD = "direct", "mount", "download"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def checked_input_name(name: object) -> str:
    """`name` if it can be an input's or output's: it is part of the name of an environment variable.

    Raises:
        UserErrorException: it cannot.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserErrorException(
            "Invalid name %r. Name can only be alphanumeric characters and underscore, and cannot start with a number."
            % (name,)
        )
    return name


class Named:
    """An input or output of a run, by its name. In arguments it becomes what the run has for it."""

    _name: str

    @property
    def name(self) -> str:
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = checked_input_name(value)

    @property
    def arg_val(self) -> str:
        return as_argument(self._name)

    def __str__(self) -> str:
        return self.arg_val


class DatasetConsumptionConfig(Named):
    """A data set as an input of a run.

    Args:
        name: its name in the run; in arguments it becomes its path, or its id in direct mode.
        dataset: a `FileDataset` or `TabularDataset`, or an output of another run.
        mode: "direct" (the data set as an object), "mount" (where the files are) or "download" (a copy).
        path_on_compute: where the run has it, absolute or relative to its working directory.
    """

    def __init__(self, name: str, dataset: Any, mode: str = DIRECT, path_on_compute: Optional[str] = None) -> None:
        self._name = checked_input_name(name)
        self.dataset = dataset
        if mode not in (DIRECT, MOUNT, DOWNLOAD):
            raise UserErrorException(
                "Invalid mode '%s'. Mode can only be mount, download, or direct (hdfs is not offered)" % mode
            )
        self.mode = mode
        self.path_on_compute = path_on_compute

    def as_mount(self, path_on_compute: Optional[str] = None) -> "DatasetConsumptionConfig":
        """The run reads the files where they are."""
        return self._with(MOUNT, path_on_compute)

    def as_download(self, path_on_compute: Optional[str] = None) -> "DatasetConsumptionConfig":
        """The run has a copy of the files."""
        return self._with(DOWNLOAD, path_on_compute)

    def as_direct(self) -> "DatasetConsumptionConfig":
        """The script gets the data set itself, as `run.input_datasets[name]`."""
        return self._with(DIRECT, None)

    def as_hdfs(self) -> "DatasetConsumptionConfig":
        raise UserErrorException("as_hdfs is for Spark, which is not offered: use as_mount or as_download")

    def _with(self, mode: str, path_on_compute: Optional[str]) -> "DatasetConsumptionConfig":
        if mode != DIRECT and getattr(self.dataset, "kind", "file") == "tabular":
            raise UserErrorException(
                "a TabularDataset cannot be given as files: leave out as_%s, and in the script read "
                "run.input_datasets['%s'].to_pandas_dataframe()" % (mode, self._name)
            )
        return type(self)(self._name, self.dataset, mode, path_on_compute)

    def __repr__(self) -> str:
        return "DatasetConsumptionConfig(name=%r, mode=%r, dataset=%r)" % (self._name, self.mode, self.dataset)
