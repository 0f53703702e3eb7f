"""What Azure ML SDK v1 had in `azureml.train.hyperdrive.parameter_expressions`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "choice": "toolkit.sweeps:choice",
        "lognormal": "toolkit.sweeps:lognormal",
        "loguniform": "toolkit.sweeps:loguniform",
        "normal": "toolkit.sweeps:normal",
        "qlognormal": "toolkit.sweeps:qlognormal",
        "qloguniform": "toolkit.sweeps:qloguniform",
        "qnormal": "toolkit.sweeps:qnormal",
        "quniform": "toolkit.sweeps:quniform",
        "randint": "toolkit.sweeps:randint",
        "uniform": "toolkit.sweeps:uniform",
    },
)
