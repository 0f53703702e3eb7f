"""How `RunConfiguration.data` and `output_data` name data, in the words of `azureml.core.runconfig`."""

from typing import Any, Optional


class Dataset:
    """A data set by its id, or by its name and version."""

    def __init__(
        self, dataset_id: Optional[str] = None, dataset_name: Optional[str] = None, dataset_version: Any = None
    ) -> None:
        self.dataset_id = dataset_id
        self.dataset_name = dataset_name
        self.dataset_version = dataset_version


class DataPath:
    """A path in a datastore, by the datastore's name."""

    def __init__(self, datastore_name: Optional[str] = None, relative_path: Optional[str] = None) -> None:
        self.datastore_name = datastore_name
        self.relative_path = relative_path


class DataLocation:
    """Where data is: a `Dataset` or a `DataPath` of this module."""

    def __init__(
        self, dataset: Optional[Dataset] = None, data_path: Optional[DataPath] = None, uri: Optional[str] = None
    ) -> None:
        self.dataset = dataset
        self.data_path = data_path
        self.uri = uri


class Data:
    """An input of a run.

    Attributes:
        data_location: where it is.
        create_output_directories: kept; folders are made when they are needed.
        mechanism: "direct", "mount" or "download".
        environment_variable_name: the variable with its path, besides AZUREML_DATAREFERENCE_<name>.
        path_on_compute: where the run has it.
        overwrite: kept; a run's inputs are its own.
    """

    def __init__(
        self,
        data_location: Optional[DataLocation] = None,
        create_output_directories: bool = False,
        mechanism: Optional[str] = None,
        environment_variable_name: Optional[str] = None,
        path_on_compute: Optional[str] = None,
        overwrite: bool = False,
    ) -> None:
        self.data_location = data_location
        self.create_output_directories = create_output_directories
        self.mechanism = mechanism
        self.environment_variable_name = environment_variable_name
        self.path_on_compute = path_on_compute
        self.overwrite = overwrite


class OutputLocation:
    """Where an output is kept: a `DataPath` of this module, or the data set that it is registered as."""

    def __init__(self, dataset: Any = None, data_path: Optional[DataPath] = None) -> None:
        self.dataset = dataset
        self.data_path = data_path


class OutputOptions:
    """How an output is taken from the run."""

    def __init__(
        self, path_on_compute: Optional[str] = None, registration_options: Any = None, upload_options: Any = None
    ) -> None:
        self.path_on_compute = path_on_compute
        self.registration_options = registration_options
        self.upload_options = upload_options


class OutputData:
    """An output of a run, as `RunConfiguration.output_data` holds it.

    Attributes:
        output_location: where it is kept.
        mechanism: "mount" or "upload".
        additional_options: `OutputOptions`.
        environment_variable_name: the variable with its path, besides AZUREML_DATAREFERENCE_<name>.
    """

    def __init__(
        self,
        output_location: Optional[OutputLocation] = None,
        mechanism: Optional[str] = None,
        additional_options: Optional[OutputOptions] = None,
        environment_variable_name: Optional[str] = None,
    ) -> None:
        self.output_location = output_location
        self.mechanism = mechanism
        self.additional_options = additional_options
        self.environment_variable_name = environment_variable_name
