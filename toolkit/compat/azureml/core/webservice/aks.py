"""What Azure ML SDK v1 had in `azureml.core.webservice.aks`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {},
    absent=(
        "AksEndpoint",
        "AksServiceDeploymentConfiguration",
        "AksWebservice",
        "AutoScaler",
    ),
)
