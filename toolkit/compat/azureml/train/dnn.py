"""What Azure ML SDK v1 had in `azureml.train.dnn`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "Chainer": "toolkit.estimator:Chainer",
        "Gloo": "toolkit.estimator:Gloo",
        "Mpi": "toolkit.estimator:Mpi",
        "Nccl": "toolkit.estimator:Nccl",
        "ParameterServer": "toolkit.estimator:ParameterServer",
        "PyTorch": "toolkit.estimator:PyTorch",
        "TensorFlow": "toolkit.estimator:TensorFlow",
    },
)
