"""What Azure ML SDK v1 had in `azureml.data.dbfs_datastore`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {},
    absent=("DBFSDatastore",),
)
