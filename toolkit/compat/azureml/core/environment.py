"""What Azure ML SDK v1 had in `azureml.core.environment`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "CondaDependencies": "toolkit:CondaDependencies",
        "ContainerRegistry": "toolkit:ContainerRegistry",
        "DEFAULT_CPU_IMAGE": "toolkit.inscript.sdk_v1:DEFAULT_IMAGE",
        "DEFAULT_GPU_IMAGE": "toolkit.inscript.sdk_v1:DEFAULT_IMAGE",
        "DockerImageDetails": "toolkit.definitions.building:DockerImageDetails",
        "DockerSection": "toolkit:DockerSection",
        "Environment": "toolkit:Environment",
        "EnvironmentReference": "toolkit:Environment",
        "ImageBuildDetails": "toolkit.definitions.building:ImageBuildDetails",
        "PythonSection": "toolkit:PythonSection",
        "SparkSection": "toolkit.spark_section:SparkSection",
    },
    absent=(
        "DockerBuildContext",
        "RCranPackage",
        "RSection",
        "SparkPackage",
    ),
)
