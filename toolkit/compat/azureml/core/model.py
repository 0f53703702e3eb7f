"""What Azure ML SDK v1 had in `azureml.core.model`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "Dataset": "toolkit:Dataset",
        "Model": "toolkit:Model",
        "ModelNotFoundException": "toolkit:ModelNotFoundException",
        "ModelPathNotFoundException": "toolkit:ModelPathNotFoundException",
        "WebserviceException": "toolkit:WebserviceException",
    },
    absent=(
        "InferenceConfig",
        "ModelPackage",
    ),
)
