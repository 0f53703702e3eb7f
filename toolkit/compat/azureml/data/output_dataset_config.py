"""What Azure ML SDK v1 had in `azureml.data.output_dataset_config`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "LinkFileOutputDatasetConfig": "toolkit.data.output:LinkFileOutputDatasetConfig",
        "LinkTabularOutputDatasetConfig": "toolkit.data.output:LinkTabularOutputDatasetConfig",
        "OutputFileDatasetConfig": "toolkit:OutputFileDatasetConfig",
        "OutputTabularDatasetConfig": "toolkit.data.output:OutputTabularDatasetConfig",
    },
    absent=("HDFSOutputDatasetConfig",),
)
