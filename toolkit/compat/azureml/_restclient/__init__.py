"""Of Azure's clients, what scripts of users touch."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "constants": "azureml._restclient.constants",
        "snapshots_client": "azureml._restclient.snapshots_client",
    },
)
