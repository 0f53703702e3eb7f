"""What Azure ML SDK v1 had in `azureml.data.abstract_dataset`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "AbstractDataset": "toolkit.data.dataset:AbstractDataset",
    },
)
