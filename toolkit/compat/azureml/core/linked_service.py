"""What Azure ML SDK v1 had in `azureml.core.linked_service`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {},
    absent=(
        "LinkedService",
        "SynapseWorkspaceLinkedServiceConfiguration",
    ),
)
