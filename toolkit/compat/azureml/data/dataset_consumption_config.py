"""What Azure ML SDK v1 had in `azureml.data.dataset_consumption_config`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "DatasetConsumptionConfig": "toolkit:DatasetConsumptionConfig",
    },
)
