"""What Azure ML SDK v1 had in `azureml.train.hyperdrive.sampling`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "BayesianParameterSampling": "toolkit:BayesianParameterSampling",
        "GridParameterSampling": "toolkit:GridParameterSampling",
        "RandomParameterSampling": "toolkit:RandomParameterSampling",
    },
)
