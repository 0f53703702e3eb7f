"""What Azure ML SDK v1 had in `azureml.core.run`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "Run": "toolkit:Run",
        "RunEnvironmentException": "toolkit.inscript.errors:RunEnvironmentException",
        "_OfflineRun": "toolkit.inscript.offline:OfflineRun",
        "_SubmittedRun": "toolkit:Run",
        "get_run": "toolkit.inscript.sdk_v1:get_run",
    },
)
