"""What Azure ML SDK v1 had in `azureml.data.dataset_type_definitions`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "PromoteHeadersBehavior": "toolkit.data.data_type:PromoteHeadersBehavior",
    },
)
