"""What Azure ML SDK v1 had in `azureml.core.compute.compute`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "ComputeTarget": "toolkit:ComputeTarget",
    },
)
