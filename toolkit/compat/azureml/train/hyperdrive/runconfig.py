"""What Azure ML SDK v1 had in `azureml.train.hyperdrive.runconfig`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "HyperDriveConfig": "toolkit:HyperDriveConfig",
        "HyperDriveRunConfig": "toolkit.sweeps:HyperDriveRunConfig",
        "PrimaryMetricGoal": "toolkit:PrimaryMetricGoal",
    },
)
