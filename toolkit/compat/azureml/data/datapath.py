"""What Azure ML SDK v1 had in `azureml.data.datapath`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "DataPath": "toolkit:DataPath",
        "DataPathComputeBinding": "toolkit.data.data_reference:DataPathComputeBinding",
    },
)
