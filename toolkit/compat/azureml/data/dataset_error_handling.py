"""What Azure ML SDK v1 had in `azureml.data.dataset_error_handling`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "DatasetExecutionError": "toolkit.data.errors:DatasetExecutionError",
        "DatasetValidationError": "toolkit.data.errors:DatasetValidationError",
    },
)
