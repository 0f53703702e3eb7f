"""What Azure ML SDK v1 had in `azureml.data.dataset_factory`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "DataType": "toolkit:DataType",
        "FileDatasetFactory": "toolkit.data.factory:FileDatasetFactory",
        "TabularDatasetFactory": "toolkit.data.factory:TabularDatasetFactory",
    },
)
