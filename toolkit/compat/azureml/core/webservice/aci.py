"""What Azure ML SDK v1 had in `azureml.core.webservice.aci`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {},
    absent=(
        "AciServiceDeploymentConfiguration",
        "AciWebservice",
    ),
)
