"""Training in the control script itself: one run with a child for each setting, the best child found by its metric."""

from azureml.core import Experiment, Workspace
from azureml.core.run import Run

ws = Workspace.from_config()
experiment = Experiment(workspace=ws, name="start-logging")
points = [(x / 10, 3 * x / 10 + 1) for x in range(10)]


def error(slope):
    return sum((y - slope * x - 1) ** 2 for x, y in points) / len(points)


root = experiment.start_logging(snapshot_directory=None)
root.log("points", len(points))
for slope in (1.0, 2.0, 3.0, 4.0):
    with root.child_run(name="slope %g" % slope) as child:
        child.log("slope", slope)
        child.log("mse", error(slope))
        with open("model.txt", "w") as file:
            file.write(str(slope))
        child.upload_file(name="outputs/model.txt", path_or_stream="./model.txt")
root.complete()
assert root.get_status() == "Completed"

children = {run.id: run for run in root.get_children()}
assert len(children) == 4
metrics = root.get_metrics(recursive=True)
best_id = min(children, key=lambda run_id: metrics[run_id]["mse"])
best = Run(experiment, best_id)
assert best.get_metrics()["slope"] == 3.0 and best.parent.id == root.id
best.tag("best", "yes")
assert [run.id for run in root.get_children(tags={"best": "yes"})] == [best_id]
best.download_file("outputs/model.txt", "best.txt")
assert open("best.txt").read() == "3.0"
model = best.register_model(model_name="slope", model_path="outputs/model.txt")
assert model.version == 1

with experiment.start_logging(snapshot_directory=None) as run:
    run.log("value", 1)
assert run.get_status() == "Completed"
try:
    with experiment.start_logging(snapshot_directory=None) as run:
        raise ValueError("on purpose")
except ValueError:
    assert run.get_status() == "Failed"
assert len(list(experiment.get_runs())) == 3
print("done")
