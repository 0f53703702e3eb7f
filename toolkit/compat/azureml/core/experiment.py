"""What Azure ML SDK v1 had in `azureml.core.experiment`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "Experiment": "toolkit:Experiment",
    },
)
