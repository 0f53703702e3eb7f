"""What Azure ML SDK v1 had in `azureml.core.webservice`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "WebserviceException": "toolkit:WebserviceException",
    },
    absent=(
        "AciWebservice",
        "AksEndpoint",
        "AksWebservice",
        "LocalWebservice",
        "Webservice",
    ),
)
