"""What Azure ML SDK v1 had in `azureml.core.compute.aks`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {},
    absent=("AksCompute",),
)
