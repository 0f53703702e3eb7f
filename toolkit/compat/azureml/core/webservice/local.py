"""What Azure ML SDK v1 had in `azureml.core.webservice.local`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {},
    absent=(
        "LocalWebservice",
        "LocalWebserviceDeploymentConfiguration",
    ),
)
