"""Tune two parameters with a sweep, look at the best child, and register what it left."""

from azureml.core import Environment, Experiment, ScriptRunConfig, Workspace
from azureml.train.hyperdrive import *
from azureml.train.hyperdrive import normal, uniform  # noqa: F401  (scripts import more than they use)
from azureml.widgets import RunDetails

ws = Workspace.from_config()
env = Environment("mine")
env.python.user_managed_dependencies = True
src = ScriptRunConfig("src", "train.py", arguments=["--momentum", 0.9], compute_target="local", environment=env)

sampling = RandomParameterSampling({"--rate": uniform(0.01, 0.2), "--batch-size": choice(16, 32)})
policy = BanditPolicy(slack_factor=0.5, evaluation_interval=1, delay_evaluation=5)
config = HyperDriveConfig(
    run_config=src,
    hyperparameter_sampling=sampling,
    policy=policy,
    primary_metric_name="accuracy",
    primary_metric_goal=PrimaryMetricGoal.MAXIMIZE,
    max_total_runs=4,
    max_concurrent_runs=2,
)
run = Experiment(ws, "sweep").submit(config)
RunDetails(run).show()
run.wait_for_completion(show_output=False)
assert run.get_status() == "Completed"

children = list(run.get_children())
assert len(children) == 4
best = run.get_best_run_by_primary_metric()
values = [child.get_metrics()["accuracy"] for child in children if "accuracy" in child.get_metrics()]
assert best.get_metrics()["accuracy"][-1] == max(value[-1] for value in values)
arguments = best.get_details()["runDefinition"]["arguments"]
assert "--rate" in arguments and "--momentum" in arguments
print("best", best.id, dict(zip(arguments[::2], arguments[1::2])))
model = best.register_model(model_name="tuned", model_path="outputs/model.txt", tags={"from": "sweep"})
print(model.name, model.id, model.version, sep="\t")
assert best.parent.id == run.id
print("done")
