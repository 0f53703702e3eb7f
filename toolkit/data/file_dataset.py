"""`FileDataset`: files of datastores, of this machine or of the web, as one data set."""

import os
import shutil
import tempfile
import uuid
from typing import Any, Dict, List, Optional

from toolkit.data.abstract_dataset import AbstractDataset
from toolkit.data.consumption import DatasetConsumptionConfig
from toolkit.data.errors import DatasetExecutionError
from toolkit.data.expressions import Expression, column
from toolkit.data.files import DataFile
from toolkit.data.patterns import checked
from toolkit.inscript.errors import UserErrorException


class MountContext:
    """The folder of a mounted data set: between `start()` and `stop()`, or in a with statement.

    It holds links to the files, where those are on this machine, and copies of what is elsewhere.
    """

    def __init__(self, files: List[DataFile], mount_point: Optional[str]) -> None:
        self._files = files
        self._made = mount_point is None
        self._links: List[str] = []
        self.mount_point = os.path.abspath(mount_point or os.path.join(tempfile.gettempdir(), "mount-" + _hex()))

    def start(self) -> "MountContext":
        """Make the links."""
        os.makedirs(self.mount_point, 0o700, exist_ok=True)
        for file in self._files:
            target = os.path.join(self.mount_point, *checked(file.name).split("/"))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if not os.path.lexists(target):
                place(file, target, link=True)
                self._links.append(target)
        return self

    def stop(self) -> None:
        """Take the links away, and the folder with them where it was made here. The files stay."""
        for link in self._links:
            if os.path.lexists(link):
                os.unlink(link)
        self._links = []
        if self._made:
            shutil.rmtree(self.mount_point, ignore_errors=True)

    def __enter__(self) -> "MountContext":
        return self.start()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.stop()


class FileDataset(AbstractDataset):
    """Files as one data set; made by `Dataset.File.from_files`."""

    kind = "file"

    def _stepped(self, name: str, arguments: Dict[str, Any]) -> "FileDataset":
        return self._like({"file_steps": [*(self.definition.get("file_steps") or []), [name, arguments]]})

    def to_path(self) -> List[str]:
        """The names of the files, as in "/a/1.png": relative to what the sources have in common."""
        return ["/" + file.name for file in self._files()]

    def download(
        self, target_path: Optional[str] = None, overwrite: bool = False, ignore_not_found: bool = False
    ) -> List[str]:
        """Copy the files into a folder (a new temporary one by default). Returns the paths of the copies.

        Raises:
            UserErrorException: a file is there already, and `overwrite` is False.
        """
        folder = os.path.abspath(target_path or tempfile.mkdtemp(prefix="dataset-"))
        files = self._files()
        targets = [os.path.join(folder, *checked(file.name).split("/")) for file in files]
        there = [target for target in targets if os.path.exists(target)]
        if there and not overwrite:
            raise UserErrorException(
                "Cannot download the dataset: %d of its files exist already, as %s. Use another target_path, or "
                "overwrite=True" % (len(there), there[0])
            )
        if not files and not ignore_not_found:
            raise DatasetExecutionError("the dataset has no files: its paths lead to nothing (any more)")
        for file, target in zip(files, targets):
            place(file, target, link=False)
        return targets

    def mount(self, mount_point: Optional[str] = None, **kwargs: object) -> MountContext:
        """The files as a folder, between `start()` and `stop()` or in a with statement."""
        return MountContext(self._files(), mount_point)

    def as_mount(self, path_on_compute: Optional[str] = None) -> DatasetConsumptionConfig:
        """This data set as an input of a run, which reads the files where they are."""
        return self._as_input().as_mount(path_on_compute)

    def as_download(self, path_on_compute: Optional[str] = None) -> DatasetConsumptionConfig:
        """This data set as an input of a run, which has a copy of the files."""
        return self._as_input().as_download(path_on_compute)

    def as_hdfs(self) -> DatasetConsumptionConfig:
        return self._as_input().as_hdfs()

    def _as_input(self) -> DatasetConsumptionConfig:
        return DatasetConsumptionConfig("input_" + self.id.replace("-", "")[:8], self)

    def file_metadata(self, col: str) -> Expression:
        """What a filter can ask of files: "Size" in bytes, "LastModifiedTime", "CreatedTime", "FileName"."""
        return column(col)

    def __getitem__(self, name: str) -> Expression:
        return column(name)

    def to_pandas_dataframe(self) -> Any:
        raise UserErrorException(
            "a FileDataset is files, not a table: read them from download() or mount(), or make a table of them with "
            "Dataset.Tabular.from_delimited_files(path)"
        )


def place(file: DataFile, target: str, link: bool) -> None:
    """Put a file at `target`: a link to it, or a copy; what was there is replaced."""
    source = file.local
    if not link or source is None:
        file.location.get(file.entry.path, target)
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.lexists(target):
        os.unlink(target)
    os.symlink(source, target)


def _hex() -> str:
    return uuid.uuid4().hex[:12]
