"""What Azure ML SDK v1 had in `azureml.train`."""

import os

from toolkit.inscript.lazy import offer
from toolkit.inscript.real_sdk import beside

__path__ = beside(os.path.dirname(os.path.abspath(__file__)))

offer(
    __name__,
    {
        "dnn": "azureml.train.dnn",
        "estimator": "azureml.train.estimator",
        "hyperdrive": "azureml.train.hyperdrive",
        "sklearn": "azureml.train.sklearn",
    },
)
