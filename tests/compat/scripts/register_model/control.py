"""Models: registered from a run and from a file, found again, downloaded, tagged, deleted."""

import os

from azureml.core import Environment, Experiment, Model, ScriptRunConfig, Workspace
from azureml.core.model import InferenceConfig  # noqa: F401  (scripts import more than they use)
from azureml.core.resource_configuration import ResourceConfiguration
from azureml.exceptions import WebserviceException

ws = Workspace.from_config()
env = Environment("mine")
env.python.user_managed_dependencies = True
run = Experiment(ws, "models").submit(ScriptRunConfig("src", script="train.py", environment=env))
run.wait_for_completion()

model = run.register_model(
    model_name="line",
    model_path="outputs/line.json",
    tags={"area": "lines", "type": "regression"},
    properties={"error": "0.5"},
    description="a line",
    model_framework=Model.Framework.CUSTOM,
    model_framework_version="1.0",
    resource_configuration=ResourceConfiguration(cpu=1, memory_in_gb=0.5),
)
print(model.name, model.id, model.version, sep="\t")
assert (model.name, model.version, model.id) == ("line", 1, "line:1")

second = Model.register(workspace=ws, model_path="src/train.py", model_name="line", tags={"area": "files"})
assert second.version == 2
assert Model(ws, "line").version == 2 and Model(ws, name="line", version=1).tags["type"] == "regression"
assert Model(ws, id="line:1").properties["error"] == "0.5" and Model(ws, id="line:1").run_id == run.id
assert [one.id for one in Model.list(ws, name="line", tags=[["area", "lines"]])] == ["line:1"]
assert ws.models["line"].version == 2
path = model.download(target_dir="got", exist_ok=True)
assert os.path.exists(path) and "slope" in open(path).read()
model.add_tags({"stage": "tested"})
assert Model(ws, id="line:1").tags["stage"] == "tested"
second.delete()
assert Model(ws, "line").version == 1
try:
    Model(ws, "nothing")
except WebserviceException as error:
    print(error.message)
    assert "ModelNotFound" in error.message
print("done")
