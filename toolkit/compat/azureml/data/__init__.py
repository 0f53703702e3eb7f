"""What Azure ML SDK v1 had in `azureml.data`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "DataType": "toolkit:DataType",
        "DatasetConsumptionConfig": "toolkit:DatasetConsumptionConfig",
        "FileDataset": "toolkit:FileDataset",
        "LinkFileOutputDatasetConfig": "toolkit.data.output:LinkFileOutputDatasetConfig",
        "LinkTabularOutputDatasetConfig": "toolkit.data.output:LinkTabularOutputDatasetConfig",
        "OutputFileDatasetConfig": "toolkit:OutputFileDatasetConfig",
        "OutputTabularDatasetConfig": "toolkit.data.output:OutputTabularDatasetConfig",
        "TabularDataset": "toolkit:TabularDataset",
        "data_reference": "azureml.data.data_reference",
        "datapath": "azureml.data.datapath",
        "dataset_consumption_config": "azureml.data.dataset_consumption_config",
        "dataset_error_handling": "azureml.data.dataset_error_handling",
        "dataset_factory": "azureml.data.dataset_factory",
        "dataset_type_definitions": "azureml.data.dataset_type_definitions",
        "file_dataset": "azureml.data.file_dataset",
        "output_dataset_config": "azureml.data.output_dataset_config",
        "tabular_dataset": "azureml.data.tabular_dataset",
    },
    absent=("HDFSOutputDatasetConfig",),
)
