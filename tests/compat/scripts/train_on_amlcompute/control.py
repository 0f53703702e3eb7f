"""Train on a cluster: made where it is not there, an environment from package lists, the logs watched."""

import azureml.core
from azureml.core import Environment, Experiment, ScriptRunConfig, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.core.compute_target import ComputeTargetException
from azureml.core.conda_dependencies import CondaDependencies
from azureml.widgets import RunDetails

print("SDK version:", azureml.core.VERSION)
ws = Workspace.from_config()
print(ws.name, ws.resource_group, ws.location, ws.subscription_id, sep="\n")

cluster_name = "cpucluster"
try:
    cpu_cluster = ComputeTarget(workspace=ws, name=cluster_name)
    print("Found the cluster")
except ComputeTargetException:
    print("Making the cluster")
    compute_config = AmlCompute.provisioning_configuration(
        vm_size="STANDARD_D2_V2", min_nodes=0, max_nodes=2, idle_seconds_before_scaledown=1200
    )
    cpu_cluster = ComputeTarget.create(ws, cluster_name, compute_config)
cpu_cluster.wait_for_completion(show_output=True, min_node_count=None, timeout_in_minutes=20)
print(cpu_cluster.get_status().serialize()["allocationState"])
assert ws.compute_targets[cluster_name].type == "AmlCompute"

env = Environment("light")
env.python.conda_dependencies = CondaDependencies.create(pip_packages=["azureml-defaults"])
env.environment_variables["GREETING"] = "hello"

experiment = Experiment(workspace=ws, name="train-on-amlcompute")
src = ScriptRunConfig(
    source_directory="./src", script="train.py", arguments=["--rate", 0.1, "--steps", 5], compute_target=cpu_cluster
)
src.run_config.environment = env
run = experiment.submit(config=src, tags={"kind": "example"})
RunDetails(run).show()
details = run.wait_for_completion(show_output=True)

assert details["status"] == "Completed" and run.get_status() == "Completed"
assert details["runDefinition"]["arguments"] == ["--rate", "0.1", "--steps", "5"]
metrics = run.get_metrics()
assert len(metrics["loss"]) == 5 and metrics["rate"] == 0.1
assert "outputs/weights.txt" in run.get_file_names()
run.download_file(name="outputs/weights.txt", output_file_path="weights.txt")
assert float(open("weights.txt").read()) > 0
assert run.get_tags()["kind"] == "example"
assert [one.id for one in experiment.get_runs(tags={"kind": "example"})] == [run.id]
print("done")
