"""What Azure ML SDK v1 had in `azureml.data.abstract_datastore`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "AbstractDatastore": "toolkit:Datastore",
    },
)
