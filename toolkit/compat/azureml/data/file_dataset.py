"""What Azure ML SDK v1 had in `azureml.data.file_dataset`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "FileDataset": "toolkit:FileDataset",
    },
)
