"""What Azure ML SDK v1 had in `azureml.core.keyvault`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "Keyvault": "toolkit:Keyvault",
    },
)
