"""What Azure ML SDK v1 had in `azureml.core.container_registry`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "ContainerRegistry": "toolkit:ContainerRegistry",
    },
)
