"""What Azure ML SDK v1 had in `azureml.data.azure_storage_datastore`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "AbstractAzureStorageDatastore": "toolkit.data.datastore:AbstractAzureStorageDatastore",
        "AzureBlobDatastore": "toolkit.data.datastore:AzureBlobDatastore",
        "AzureFileDatastore": "toolkit.data.datastore:AzureFileDatastore",
    },
)
