"""What Azure ML SDK v1 had in `azureml._restclient.constants`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "RunStatus": "toolkit.inscript.sdk_v1:RunStatus",
    },
)
