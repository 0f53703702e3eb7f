"""What Azure ML SDK v1 had in `azureml.exceptions._azureml_exception`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "ActivityFailedException": "toolkit.inscript.errors:ActivityFailedException",
        "AuthenticationException": "toolkit.inscript.errors:AuthenticationException",
        "AzureMLException": "toolkit.inscript.errors:ToolkitError",
        "AzureMLServiceException": "toolkit.inscript.errors:ToolkitError",
        "ComputeTargetException": "toolkit.inscript.errors:ComputeTargetException",
        "ExperimentExecutionException": "toolkit.inscript.errors:ExperimentExecutionException",
        "ExperimentNotFoundException": "toolkit.inscript.errors:UserErrorException",
        "ModelNotFoundException": "toolkit.inscript.errors:ModelNotFoundException",
        "ModelPathNotFoundException": "toolkit.inscript.errors:ModelPathNotFoundException",
        "ProjectSystemException": "toolkit.inscript.errors:ProjectSystemException",
        "RunConfigurationException": "toolkit.inscript.errors:UserErrorException",
        "RunEnvironmentException": "toolkit.inscript.errors:RunEnvironmentException",
        "ServiceException": "toolkit.inscript.errors:ToolkitError",
        "SnapshotException": "toolkit.inscript.errors:SnapshotException",
        "TrainingException": "toolkit.inscript.errors:ActivityFailedException",
        "UserErrorException": "toolkit.inscript.errors:UserErrorException",
        "WebserviceException": "toolkit.inscript.errors:WebserviceException",
        "WorkspaceException": "toolkit.inscript.errors:WorkspaceException",
    },
)
