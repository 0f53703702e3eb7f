"""What Azure ML SDK v1 had in `azureml.core.image`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {},
    absent=(
        "ContainerImage",
        "Image",
    ),
)
