from azureml.core import Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.core.compute_target import ComputeTargetException

ws = Workspace.from_config()
name = "train-cluster"
try:
    cluster = ComputeTarget(workspace=ws, name=name)
    print("Found an existing cluster, use it.")
except ComputeTargetException:
    settings = AmlCompute.provisioning_configuration(
        vm_size="STANDARD_D2_V2", max_nodes=2, idle_seconds_before_scaledown=2400
    )
    cluster = ComputeTarget.create(ws, name, settings)
cluster.wait_for_completion(show_output=True)
