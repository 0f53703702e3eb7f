"""What Azure ML SDK v1 had in `azureml.core.compute.computeinstance`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "ComputeInstance": "toolkit.compute:ComputeInstance",
    },
)
