"""What Azure ML SDK v1 had in `azureml.train.estimator`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "Estimator": "toolkit.estimator:Estimator",
        "Gloo": "toolkit.estimator:Gloo",
        "Mpi": "toolkit.estimator:Mpi",
        "Nccl": "toolkit.estimator:Nccl",
        "ParameterServer": "toolkit.estimator:ParameterServer",
    },
)
