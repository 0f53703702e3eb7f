"""What Azure ML SDK v1 had in `azureml.data.tabular_dataset`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "TabularDataset": "toolkit:TabularDataset",
    },
)
