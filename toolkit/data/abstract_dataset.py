"""What file and tabular data sets have in common: an id, a registration, being an input of a run."""

import datetime
import random
from typing import Any, Dict, List, Optional, Tuple, TypeVar

from toolkit.data import partitions, records
from toolkit.data.consumption import DatasetConsumptionConfig
from toolkit.data.content import Progress, content_of
from toolkit.data.expressions import Expression
from toolkit.data.files import DataFile, files_of
from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.values import warn_once

Self = TypeVar("Self", bound="AbstractDataset")


class AbstractDataset:
    """A data set: where its files are and what is done with them, read when it is asked for.

    Attributes:
        definition: all that makes it what it is, as plain data; runs rebuild it from that.
    """

    kind = ""

    def __init__(
        self,
        definition: Optional[Dict[str, Any]] = None,
        workspace: Any = None,
        registration: Optional[Dict[str, Any]] = None,
    ) -> None:
        if definition is None:
            raise UserErrorException(
                "data sets are made by Dataset.File.from_files and Dataset.Tabular.from_delimited_files, or found "
                "by Dataset.get_by_name"
            )
        self.definition = definition
        self.workspace = workspace
        self._registration = registration
        self._sources: List[Dict[str, str]] = definition["sources"]

    def __repr__(self) -> str:
        return "%s(id=%r, name=%r, version=%r)" % (type(self).__name__, self.id, self.name, self.version)

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Its id: made from the definition, so it is the same in every process."""
        if self.workspace is not None:
            return records.keep(self.workspace.shared, self.definition)
        return records.id_of(self.definition)

    @property
    def name(self) -> Optional[str]:
        """The name that it is registered under, or None."""
        return self._registration["name"] if self._registration else None

    @property
    def version(self) -> Optional[int]:
        """The version of the registered name, or None."""
        return self._registration["version"] if self._registration else None

    @property
    def description(self) -> Optional[str]:
        return self._registration["description"] if self._registration else None

    @property
    def tags(self) -> Dict[str, str]:
        return dict(self._registration["tags"]) if self._registration else {}

    @property
    def data_changed_time(self) -> Optional[datetime.datetime]:
        """When a file of it was changed last, in UTC; None where that is not known."""
        marks = [int(file.entry.mark) for file in self._files() if file.local is not None]
        if not marks:
            return None
        return datetime.datetime.fromtimestamp(max(marks) / 1e9, datetime.timezone.utc)

    @property
    def partition_keys(self) -> List[str]:
        """The columns that are in the paths of the files."""
        return partitions.keys(self.definition.get("partition_format"))

    def get_partition_key_values(self, partition_keys: Optional[List[str]] = None) -> List[Dict[str, object]]:
        """The combinations of values that the columns in the paths have."""
        wanted = partition_keys or self.partition_keys
        form = self.definition.get("partition_format")
        unknown = sorted(set(wanted) - set(self.partition_keys))
        if form is None or unknown:
            raise UserErrorException(
                "the data set has no partition key %s: it has %s; they come from partition_format"
                % (", ".join(unknown) or "at all", ", ".join(self.partition_keys) or "none")
            )
        found: Dict[Any, Dict[str, object]] = {}
        for file in self._files():
            values = partitions.values(form, file.path)
            found.setdefault(tuple(str(values[key]) for key in wanted), {key: values[key] for key in wanted})
        return list(found.values())

    def content(self, progress: Optional[Progress] = None) -> str:
        """The hash of what is in its files now; see `toolkit.data.content`."""
        return content_of(self._here(), self._workspace("content").shared, progress)

    def _files(self) -> List[DataFile]:
        return files_of(self._here(), self.workspace.shared if self.workspace is not None else None)

    def _here(self) -> Dict[str, Any]:
        return {**self.definition, "sources": self._sources}

    def _read_from(self: Self, sources: List[Dict[str, str]]) -> Self:
        """The same data set, with its id, whose files this script finds elsewhere than its definition says."""
        made = type(self)(self.definition, self.workspace, self._registration)
        made._sources = sources
        return made

    def _workspace(self, doing: str) -> Any:
        if self.workspace is None:
            raise UserErrorException(
                "%s needs a workspace, and this data set has none: register it, or make it of a datastore" % doing
            )
        return self.workspace

    # -- others like it -----------------------------------------------------------------------------------------------

    def _like(self: Self, changes: Dict[str, Any]) -> Self:
        return type(self)({**self.definition, **changes}, self.workspace)._read_from(self._sources)

    def _stepped(self: Self, name: str, arguments: Dict[str, Any]) -> Self:
        raise NotImplementedError

    def take(self: Self, count: int) -> Self:
        """The first `count` rows or files."""
        return self._stepped("take", {"count": _whole(count)})

    def skip(self: Self, count: int) -> Self:
        """All but the first `count` rows or files."""
        return self._stepped("skip", {"count": _whole(count)})

    def take_sample(self: Self, probability: float, seed: Optional[int] = None) -> Self:
        """About this share of the rows or files, each drawn by itself; the same for the same seed."""
        return self._stepped("sample", _drawing(probability, seed))

    def random_split(self: Self, percentage: float, seed: Optional[int] = None) -> Tuple[Self, Self]:
        """Two data sets: about `percentage` (0 to 1) of the rows or files, and the others; a seed gives the same."""
        drawing = _drawing(percentage, seed)
        return self._stepped("split", {**drawing, "part": 0}), self._stepped("split", {**drawing, "part": 1})

    def filter(self: Self, expression: Expression) -> Self:
        """The rows or files for which a condition holds, as in `dataset.filter(dataset['age'] > 30)`."""
        if not isinstance(expression, Expression):
            raise UserErrorException("filter takes a condition, as in dataset.filter(dataset['age'] > 30)")
        return self._stepped("filter", {"expression": expression.form})

    # -- registering --------------------------------------------------------------------------------------------------

    def register(
        self: Self,
        workspace: Any,
        name: str,
        description: Optional[str] = None,
        tags: Optional[Dict[str, str]] = None,
        create_new_version: bool = False,
        exist_ok: bool = False,
    ) -> Self:
        """Register the data set in a workspace: version 1, 2, … of a name.

        The same data set with the same content is the version that is there already.

        Raises:
            UserErrorException: the name has another data set, and `create_new_version` is False.
        """
        if workspace is None:
            raise UserErrorException("register needs the workspace: dataset.register(workspace, 'name')")
        if self.workspace is not None and self.workspace.shared.root != workspace.shared.root:
            raise UserErrorException(
                "the data set lies in the workspace '%s': register it there, not in '%s'"
                % (self.workspace.name, workspace.name)
            )
        records.checked_name(name)
        made = type(self)(self.definition, workspace)
        content = made.content()
        record = records.register(workspace.shared, name, made.id, content, description, tags, create_new_version)
        if record["content"] != content:
            warn_once(
                "content of %s" % name,
                "the files of the dataset '%s' have changed since version %d was registered: "
                "create_new_version=True registers them as they are now" % (name, record["version"]),
            )
        return type(self)(self.definition, workspace, record)

    def update(self: Self, description: Optional[str] = None, tags: Optional[Dict[str, str]] = None) -> Self:
        """Set the description and tags of the registered version."""
        record = records.update(self._workspace("update").shared, self._registered(), description, tags)
        self._registration = record
        return self

    def add_tags(self: Self, tags: Optional[Dict[str, str]] = None) -> Self:
        return self.update(tags={**self._registered()["tags"], **(tags or {})})

    def remove_tags(self: Self, tags: Optional[List[str]] = None) -> Self:
        gone = [tags] if isinstance(tags, str) else tags or []
        return self.update(tags={key: value for key, value in self.tags.items() if key not in gone})

    def unregister_all_versions(self) -> None:
        """Forget the name that this data set is registered under, with all its versions. The files stay."""
        records.unregister(self._workspace("unregister_all_versions").shared, self._registered()["name"])
        self._registration = None

    def _registered(self) -> Dict[str, Any]:
        if self._registration is None:
            raise UserErrorException("the data set is not registered: register it first")
        return self._registration

    # -- for runs -----------------------------------------------------------------------------------------------------

    def as_named_input(self, name: str) -> DatasetConsumptionConfig:
        """This data set as the input `name` of a run, where it is `run.input_datasets[name]`."""
        return DatasetConsumptionConfig(name, self)


def _whole(count: int) -> int:
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise UserErrorException("count is %r; it must be a whole number, 0 or more" % (count,))
    return count


def _drawing(probability: float, seed: Optional[int]) -> Dict[str, Any]:
    if not isinstance(probability, (int, float)) or not 0 <= probability <= 1:
        raise UserErrorException("%r is no share of a data set: give a number from 0 to 1" % (probability,))
    return {"probability": float(probability), "seed": random.randrange(2**31) if seed is None else int(seed)}
