"""Sweeps, as Azure ML SDK v1 called them."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "BanditPolicy": "toolkit:BanditPolicy",
        "BayesianParameterSampling": "toolkit:BayesianParameterSampling",
        "GridParameterSampling": "toolkit:GridParameterSampling",
        "HyperDriveConfig": "toolkit:HyperDriveConfig",
        "HyperDriveRun": "toolkit:HyperDriveRun",
        "HyperDriveRunConfig": "toolkit.sweeps:HyperDriveRunConfig",
        "MedianStoppingPolicy": "toolkit:MedianStoppingPolicy",
        "NoTerminationPolicy": "toolkit:NoTerminationPolicy",
        "PrimaryMetricGoal": "toolkit:PrimaryMetricGoal",
        "RandomParameterSampling": "toolkit:RandomParameterSampling",
        "TruncationSelectionPolicy": "toolkit:TruncationSelectionPolicy",
        "choice": "toolkit.sweeps:choice",
        "lognormal": "toolkit.sweeps:lognormal",
        "loguniform": "toolkit.sweeps:loguniform",
        "normal": "toolkit.sweeps:normal",
        "parameter_expressions": "azureml.train.hyperdrive.parameter_expressions",
        "policy": "azureml.train.hyperdrive.policy",
        "qlognormal": "toolkit.sweeps:qlognormal",
        "qloguniform": "toolkit.sweeps:qloguniform",
        "qnormal": "toolkit.sweeps:qnormal",
        "quniform": "toolkit.sweeps:quniform",
        "randint": "toolkit.sweeps:randint",
        "run": "azureml.train.hyperdrive.run",
        "runconfig": "azureml.train.hyperdrive.runconfig",
        "sampling": "azureml.train.hyperdrive.sampling",
        "uniform": "toolkit.sweeps:uniform",
    },
)
