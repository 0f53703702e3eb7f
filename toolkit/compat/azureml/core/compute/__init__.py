"""What Azure ML SDK v1 had in `azureml.core.compute`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "AmlCompute": "toolkit:AmlCompute",
        "AmlComputeStatus": "toolkit.compute:AmlComputeStatus",
        "ComputeInstance": "toolkit.compute:ComputeInstance",
        "ComputeTarget": "toolkit:ComputeTarget",
        "ComputeTargetException": "toolkit:ComputeTargetException",
        "RemoteCompute": "toolkit.compute:RemoteCompute",
    },
    absent=(
        "AdlaCompute",
        "AksCompute",
        "BatchCompute",
        "DataFactoryCompute",
        "DatabricksCompute",
        "DsvmCompute",
        "HDInsightCompute",
        "KubernetesCompute",
        "KustoCompute",
        "SynapseCompute",
    ),
)
