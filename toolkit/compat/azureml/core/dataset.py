"""What Azure ML SDK v1 had in `azureml.core.dataset`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "Dataset": "toolkit:Dataset",
    },
)
