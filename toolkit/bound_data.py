"""Collects the data of a run at submit: what is in its arguments and its run configuration, checked and recorded.

The record is all that targets and launchers need, as plain data:

    {"inputs": {name: {"mode", "path_on_compute", "kind", "id", "registered", "definition", "content", "files"}},
     "outputs": {name: {"mode", "datastore", "path", "source", "globs", "overwrite", "register", "read"}}}

`files` are the sources of an input as paths of this machine; what lies elsewhere was fetched for it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from toolkit.data import records, run_data
from toolkit.data.abstract_dataset import AbstractDataset
from toolkit.data.consumption import DIRECT, DatasetConsumptionConfig
from toolkit.data.content import content_of
from toolkit.data.data_reference import DataPath, DataReference, DataReferenceConfiguration, as_argument
from toolkit.data.dataset import Dataset
from toolkit.data.datastore import Datastore
from toolkit.data.errors import MissingPackage
from toolkit.data.fetching import fetch
from toolkit.data.file_dataset import FileDataset
from toolkit.data.files import DataFile, files_of
from toolkit.data.output import OutputFileDatasetConfig, definition_of
from toolkit.data.patterns import checked
from toolkit.data.sources import located
from toolkit.errors import UserErrorException
from toolkit.paths import home
from toolkit.progress import bar

if TYPE_CHECKING:
    from toolkit.workspace import Workspace


class Collected:
    """The inputs and outputs of a run, as they are come upon."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._inputs: dict[str, dict[str, Any]] = {}
        self._outputs: dict[str, dict[str, Any]] = {}
        self.notices: list[str] = []

    def record(self) -> dict[str, Any]:
        return {key: value for key, value in (("inputs", self._inputs), ("outputs", self._outputs)) if value}

    # -- what may be given --------------------------------------------------------------------------------------------

    def argument(self, value: object) -> str:
        """An argument as text. Data is taken up and becomes `$AZUREML_DATAREFERENCE_<name>`.

        Raises:
            UserErrorException: it is neither text, a number, a path nor data that a run can be given.
        """
        if isinstance(value, DatasetConsumptionConfig):
            return self._consume(value.name, value)
        if isinstance(value, OutputFileDatasetConfig):
            return self._produce(value.name, value)
        if isinstance(value, DataReference):
            return self._refer(value.data_reference_name, value)
        if isinstance(value, DataPath):
            return self.argument(value.create_data_reference())
        if isinstance(value, AbstractDataset):
            raise UserErrorException(
                f"the argument {value!r} is a {type(value).__name__} as such, which cannot be passed to a script: use "
                "dataset.as_named_input('name').as_mount() for its files, or dataset.as_named_input('name') and, in "
                "the script, run.input_datasets['name']"
            )
        if isinstance(value, Datastore):
            raise UserErrorException(
                f"the argument {value!r} is a datastore: use datastore.path('folder').as_mount(), or as_mount() of all"
            )
        if isinstance(value, (str, bool, int, float, os.PathLike)):
            return str(value)
        raise UserErrorException(
            f"the argument {value!r} is a {type(value).__name__}; arguments are text, numbers, paths or data"
        )

    def named(self, name: str, value: object) -> None:
        """Take up an entry of `RunConfiguration.data`, `data_references` or `output_data`."""
        if isinstance(value, DatasetConsumptionConfig):
            self._consume(name, value)
        elif isinstance(value, AbstractDataset):
            self._consume(name, value.as_named_input(name))
        elif isinstance(value, OutputFileDatasetConfig):
            self._produce(name, value)
        elif isinstance(value, DataReference):
            self._refer(name, value)
        elif isinstance(value, DataReferenceConfiguration):
            self._refer(name, self._reference(name, value))
        elif isinstance(value, run_data.Data):
            self._take_data(name, value)
        elif isinstance(value, run_data.OutputData):
            self._take_output_data(name, value)
        else:
            raise UserErrorException(
                f"the run configuration's data {name!r} is a {type(value).__name__}, which is no data"
            )

    def _reference(self, name: str, value: DataReferenceConfiguration) -> DataReference:
        store = Datastore(self._workspace, value.datastore_name)
        return DataReference(store, name, value.path_on_datastore, value.mode, value.path_on_compute, value.overwrite)

    def _take_data(self, name: str, value: run_data.Data) -> None:
        location = value.data_location
        if location is not None and location.data_path is not None:
            store = Datastore(self._workspace, location.data_path.datastore_name)
            mode = value.mechanism or "mount"
            self._refer(name, DataReference(store, name, location.data_path.relative_path, mode, value.path_on_compute))
        elif location is not None and location.dataset is not None:
            asked = location.dataset
            if asked.dataset_id:
                dataset = Dataset.get_by_id(self._workspace, asked.dataset_id)
            else:
                version = asked.dataset_version or "latest"
                dataset = Dataset.get_by_name(self._workspace, str(asked.dataset_name), version)
            mode = (value.mechanism or DIRECT).lower()
            self._consume(name, DatasetConsumptionConfig(name, dataset, mode, value.path_on_compute))
        else:
            raise UserErrorException(
                f"the run configuration's data {name!r} has no data_location with a dataset or path"
            )
        self._inputs[name]["variable"] = value.environment_variable_name

    def _take_output_data(self, name: str, value: run_data.OutputData) -> None:
        path = value.output_location.data_path if value.output_location else None
        destination = (Datastore(self._workspace, path.datastore_name), path.relative_path) if path else None
        options = value.additional_options
        source = options.path_on_compute if options and value.mechanism == "upload" else None
        self._produce(name, OutputFileDatasetConfig(name, destination, source))

    # -- inputs -------------------------------------------------------------------------------------------------------

    def _consume(self, name: str, config: DatasetConsumptionConfig) -> str:
        dataset = config.dataset
        if isinstance(dataset, OutputFileDatasetConfig):
            dataset = self._of_output(dataset)
        if not isinstance(dataset, AbstractDataset):
            raise UserErrorException(f"the input '{name}' is a {type(dataset).__name__}, which is no data set")
        if dataset.workspace is None:
            dataset = type(dataset)(dataset.definition, self._workspace)
        elif dataset.workspace.shared.root != self._workspace.shared.root:
            raise UserErrorException(
                f"the input '{name}' is of the workspace '{dataset.workspace.name}', and the run goes to "
                f"'{self._workspace.name}': make the data set of a datastore of that workspace"
            )
        entry: dict[str, Any] = {
            "mode": config.mode,
            "kind": dataset.kind,
            "id": dataset.id,
            "definition": dataset.definition,
            "registered": {"name": dataset.name, "version": dataset.version} if dataset.name else None,
            "path_on_compute": self._place(name, config.path_on_compute),
        }
        known = self._inputs.get(name)
        if known is not None and {key: known[key] for key in entry} == entry:
            return as_argument(name)
        files = self._record_content(name, entry, dataset)
        if config.mode != DIRECT:
            entry["files"] = self._on_this_machine(dataset.definition, files, name)
        return self._add(self._inputs, name, entry)

    def _of_output(self, output: OutputFileDatasetConfig) -> AbstractDataset:
        """The data set that another run's output is, where its place says without that run."""
        record = output.record(Datastore.get_default(self._workspace))
        if "{" in record["path"]:
            raise UserErrorException(
                f"the input is the output '{output.name}' of another run, whose place {record['path']!r} depends on "
                "that run: register it there (register_on_complete), or give the output a fixed destination"
            )
        return FileDataset({**definition_of({**record, "read": None}, record["path"])}, self._workspace)

    def _record_content(self, name: str, entry: dict[str, Any], dataset: AbstractDataset) -> list[DataFile]:
        """Note what is in an input now, and say so where a registered version had something else. Its files."""
        shared = self._workspace.shared
        try:
            every = files_of({**dataset.definition, "file_steps": []}, shared)
        except MissingPackage:
            if entry["mode"] != DIRECT:
                raise
            return []  # the script reads it, in an environment that may well have the package
        with bar(f"Reading the input {name}") as progress:
            entry["content"] = content_of(dataset.definition, shared, progress, every)
        if not every:
            self.notices.append(f"the input '{name}' has no files now")
        registration = dataset._registration
        if registration and registration["content"] != entry["content"]:
            self.notices.append(
                f"the files of the dataset '{dataset.name}' have changed since version {dataset.version} "
                f"was registered ({registration['content'][:15]}… is now {entry['content'][:15]}…): register them with "
                "create_new_version=True to tell them apart"
            )
        return every

    def _refer(self, name: str, reference: DataReference) -> str:
        """A reference: an input that may be written to, or for "upload" an output."""
        path = reference.path_on_datastore or ""
        if reference.mode == "upload":
            output: dict[str, Any] = {
                "name": name,
                "reference": True,
                "mode": "upload",
                "datastore": reference.datastore.name,
                "path": path,
                "source": checked(reference.path_on_compute or name, "a path_on_compute"),
                "globs": None,
                "overwrite": reference.overwrite,
                "partition_format": None,
                "read": None,
                "register": None,
            }
            return self._add(self._outputs, name, output)
        definition = {"type": "file", "sources": [{"datastore": reference.datastore.name, "path": path}]}
        entry: dict[str, Any] = {
            "mode": reference.mode,
            "kind": "reference",
            "id": records.id_of(definition),
            "definition": definition,
            "registered": None,
            "path_on_compute": self._place(name, reference.path_on_compute),
            "writable": reference.mode == "mount",
        }
        entry["files"] = self._on_this_machine(definition, None, name)
        if entry["files"]["sources"][0].get("fetched"):
            entry["writable"] = False
            self.notices.append(
                f"'{name}' is not on this machine: the run has a copy, and what it writes there is not kept"
            )
        return self._add(self._inputs, name, entry)

    def _place(self, name: str, path_on_compute: str | None) -> str | None:
        if path_on_compute and os.path.isabs(path_on_compute):
            self.notices.append(
                f"path_on_compute of '{name}' is absolute ({path_on_compute}), which is not offered: the run has it in "
                "a place of its own, and its argument says where; a path relative to the working directory is kept"
            )
            return None
        return checked(path_on_compute, "a path_on_compute") or None

    def _on_this_machine(self, definition: dict[str, Any], files: list[DataFile] | None, name: str) -> dict[str, Any]:
        """The definition with its sources as paths of this machine."""
        shared = self._workspace.shared
        places = [located(source, shared) for source in definition["sources"]]
        roots = [location.local("") for location, _ in places]
        if None in roots:
            found = files if files is not None else files_of(definition, shared)
            with bar(f"Fetching the input {name}") as progress:
                folder = fetch(found, str(home().data / "fetched"), progress)
            single = len(found) == len(places) == 1 and found[0].entry.path == places[0][1]
            source = {"root": folder, "path": found[0].name if single else "", "fetched": True}
            return {**definition, "sources": [source]}
        sources = [{"root": str(root), "path": pattern} for root, (_, pattern) in zip(roots, places)]
        return {**definition, "sources": sources}

    # -- outputs ------------------------------------------------------------------------------------------------------

    def _produce(self, name: str, config: OutputFileDatasetConfig) -> str:
        return self._add(self._outputs, name, config.record(Datastore.get_default(self._workspace)))

    def _add(self, where: dict[str, dict[str, Any]], name: str, entry: dict[str, Any]) -> str:
        other = self._outputs if where is self._inputs else self._inputs
        if name in other or (name in where and where[name] != entry):
            raise UserErrorException(f"the run has two inputs or outputs of the name '{name}': give one another name")
        where[name] = entry
        return as_argument(name)
