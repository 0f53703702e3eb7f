"""The files of a data set: its sources listed, and the steps (`take`, `filter`, …) that leave some of them out."""

import os
import random
from typing import Any, Dict, List, NamedTuple, Optional

from toolkit.data import partitions
from toolkit.data.expressions import holds
from toolkit.data.locations import Entry, Location, Web
from toolkit.data.patterns import common_folder, relative
from toolkit.data.sources import located
from toolkit.inscript.workspace_directory import WorkspaceDirectory


class DataFile(NamedTuple):
    """A file of a data set: where it is, and its name in the data set, relative to what the sources have in common."""

    location: Location
    entry: Entry
    name: str

    @property
    def local(self) -> Optional[str]:
        """Its path on this machine, or None."""
        return self.location.local(self.entry.path)

    @property
    def path(self) -> str:
        """Its whole path in its location, where the columns of a partition format are; see `_named`."""
        return _named(self.location, self.entry)


def files_of(definition: Dict[str, Any], shared: Optional[WorkspaceDirectory]) -> List[DataFile]:
    """The files of a data set's definition, sorted by source and path."""
    return stepped(listed(definition["sources"], shared), definition.get("file_steps") or [], definition)


def listed(sources: List[Dict[str, str]], shared: Optional[WorkspaceDirectory]) -> List[DataFile]:
    """All files of the sources, each once, with their names."""
    places = [located(source, shared) for source in sources]
    found = [(location, location.find(pattern)) for location, pattern in places]
    if len(found) == 1:
        location, (base, entries) = found[0]
        return [DataFile(location, entry, relative(_named(location, entry), base)) for entry in entries]
    files: Dict[Any, DataFile] = {}
    same = len({location.url for location, _ in found}) == 1
    for index, (location, (_, entries)) in enumerate(found):
        for entry in entries:
            name = _named(location, entry) if same else "%d/%s" % (index, _named(location, entry))
            files.setdefault((location.url, entry.path), DataFile(location, entry, name))
    every = list(files.values())
    base = common_folder(file.name for file in every)
    return [file._replace(name=relative(file.name, base)) for file in every]


def _named(location: Location, entry: Entry) -> str:
    """The path of a file without what a web address asks for."""
    return entry.path.partition("?")[0] if isinstance(location, Web) else entry.path


def stepped(files: List[DataFile], steps: List[Any], definition: Dict[str, Any]) -> List[DataFile]:
    """The files that are left after the steps, each `[name, arguments]`."""
    for name, arguments in steps:
        if name == "take":
            files = files[: arguments["count"]]
        elif name == "skip":
            files = files[arguments["count"] :]
        elif name == "filter":
            files = [file for file in files if holds(arguments["expression"], columns(file, definition))]
        else:
            files = [file for file, drawn in zip(files, draws(name, arguments, len(files))) if drawn]
    return files


def draws(name: str, arguments: Dict[str, Any], count: int) -> List[bool]:
    """Which of `count` rows or files a `sample` or a `split` leaves: the same for the same seed, whatever draws."""
    drawing = random.Random(arguments["seed"])
    drawn = [drawing.random() < arguments["probability"] for _ in range(count)]
    return [not one for one in drawn] if name == "split" and arguments["part"] else drawn


def columns(file: DataFile, definition: Dict[str, Any]) -> Dict[str, object]:
    """What a filter can ask of a file: Azure ML's names of its metadata, and the columns in its path."""
    found: Dict[str, object] = {"Size": file.entry.size, "FileName": os.path.basename(file.name), "Path": file.name}
    local = file.local
    if local is not None:
        import datetime

        facts = os.stat(local)
        found["LastModifiedTime"] = datetime.datetime.fromtimestamp(facts.st_mtime, datetime.timezone.utc).replace(
            tzinfo=None
        )
        found["CreatedTime"] = datetime.datetime.fromtimestamp(facts.st_ctime, datetime.timezone.utc).replace(
            tzinfo=None
        )
    if definition.get("partition_format"):
        found.update(partitions.values(definition["partition_format"], file.path))
    return found
