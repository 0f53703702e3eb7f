"""What Azure ML SDK v1 had in `azureml.data.azure_data_lake_datastore`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {},
    absent=(
        "AzureDataLakeDatastore",
        "AzureDataLakeGen2Datastore",
    ),
)
