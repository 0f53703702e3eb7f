"""What Azure ML SDK v1 had in `azureml.train.sklearn`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "SKLearn": "toolkit.estimator:SKLearn",
    },
)
