"""What Azure ML SDK v1 had in `azureml.core.compute.remote`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "RemoteCompute": "toolkit.compute:RemoteCompute",
    },
)
