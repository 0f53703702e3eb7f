"""What Azure ML SDK v1 had in `azureml.core.datastore`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "Datastore": "toolkit:Datastore",
    },
)
