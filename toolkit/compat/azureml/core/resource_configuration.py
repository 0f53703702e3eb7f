"""What Azure ML SDK v1 had in `azureml.core.resource_configuration`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "ResourceConfiguration": "toolkit.inscript.sdk_v1:ResourceConfiguration",
    },
)
