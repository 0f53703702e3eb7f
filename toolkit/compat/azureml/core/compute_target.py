"""What Azure ML SDK v1 had in `azureml.core.compute_target`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "ComputeTarget": "toolkit:ComputeTarget",
        "ComputeTargetException": "toolkit:ComputeTargetException",
    },
    absent=("LocalTarget",),
)
