"""What Azure ML SDK v1 had in `azureml.core.conda_dependencies`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "CondaDependencies": "toolkit:CondaDependencies",
        "DEFAULT_SDK_ORIGIN": "toolkit.inscript.sdk_v1:PYPI",
        "PYTHON_DEFAULT_VERSION": "toolkit.inscript.sdk_v1:PYTHON_DEFAULT_VERSION",
    },
)
