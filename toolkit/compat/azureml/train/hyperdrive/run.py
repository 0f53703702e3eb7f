"""What Azure ML SDK v1 had in `azureml.train.hyperdrive.run`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "HyperDriveRun": "toolkit:HyperDriveRun",
        "PrimaryMetricGoal": "toolkit:PrimaryMetricGoal",
    },
)
