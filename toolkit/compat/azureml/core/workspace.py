"""What Azure ML SDK v1 had in `azureml.core.workspace`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "ProjectSystemException": "toolkit.inscript.errors:ProjectSystemException",
        "UserErrorException": "toolkit.inscript.errors:UserErrorException",
        "Workspace": "toolkit:Workspace",
        "WorkspaceException": "toolkit.inscript.errors:WorkspaceException",
    },
)
