"""What Azure ML SDK v1 had in `azureml.core.runconfig`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "AmlComputeConfiguration": "toolkit.run_configuration:AmlComputeConfiguration",
        "CondaDependencies": "toolkit:CondaDependencies",
        "ContainerRegistry": "toolkit:ContainerRegistry",
        "DEFAULT_CPU_IMAGE": "toolkit.inscript.sdk_v1:DEFAULT_IMAGE",
        "DEFAULT_GPU_IMAGE": "toolkit.inscript.sdk_v1:DEFAULT_IMAGE",
        "Data": "toolkit.data.run_data:Data",
        "DataLocation": "toolkit.data.run_data:DataLocation",
        "DataReferenceConfiguration": "toolkit.data.data_reference:DataReferenceConfiguration",
        "Dataset": "toolkit.data.run_data:Dataset",
        "DockerConfiguration": "toolkit:DockerConfiguration",
        "DockerEnvironment": "toolkit:DockerSection",
        "DockerSection": "toolkit:DockerSection",
        "Environment": "toolkit:Environment",
        "EnvironmentDefinition": "toolkit:Environment",
        "MpiConfiguration": "toolkit:MpiConfiguration",
        "OutputData": "toolkit.data.run_data:OutputData",
        "OutputLocation": "toolkit.data.run_data:OutputLocation",
        "OutputOptions": "toolkit.data.run_data:OutputOptions",
        "HdiConfiguration": "toolkit.run_configuration:HdiConfiguration",
        "PyTorchConfiguration": "toolkit:PyTorchConfiguration",
        "PythonEnvironment": "toolkit:PythonSection",
        "PythonSection": "toolkit:PythonSection",
        "RunConfiguration": "toolkit:RunConfiguration",
        "SparkConfiguration": "toolkit.run_configuration:SparkConfiguration",
        "TensorflowConfiguration": "toolkit:TensorflowConfiguration",
    },
    absent=(
        "ApacheSparkPackageConfiguration",
        "EggLibrary",
        "JarLibrary",
        "MavenLibrary",
        "PyPiLibrary",
        "RCranLibrary",
    ),
)
