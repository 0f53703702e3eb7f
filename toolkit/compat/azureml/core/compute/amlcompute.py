"""What Azure ML SDK v1 had in `azureml.core.compute.amlcompute`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "AmlCompute": "toolkit:AmlCompute",
        "AmlComputeProvisioningConfiguration": "toolkit.compute_provisioning:ProvisioningConfiguration",
        "AmlComputeStatus": "toolkit.compute:AmlComputeStatus",
        "ScaleSettings": "toolkit.compute:ScaleSettings",
    },
)
