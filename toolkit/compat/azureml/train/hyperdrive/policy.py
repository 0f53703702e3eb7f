"""What Azure ML SDK v1 had in `azureml.train.hyperdrive.policy`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "BanditPolicy": "toolkit:BanditPolicy",
        "MedianStoppingPolicy": "toolkit:MedianStoppingPolicy",
        "NoTerminationPolicy": "toolkit:NoTerminationPolicy",
        "TruncationSelectionPolicy": "toolkit:TruncationSelectionPolicy",
    },
)
