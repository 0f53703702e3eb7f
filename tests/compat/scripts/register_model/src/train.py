import json
import os

from azureml.core import Model, Run

run = Run.get_context()
os.makedirs("outputs", exist_ok=True)
with open("outputs/line.json", "w") as file:
    json.dump({"slope": 2.0, "intercept": 1.0}, file)
run.upload_file(name="outputs/early.json", path_or_stream="outputs/line.json")
early = run.register_model(model_name="early", model_path="outputs/early.json")
print(early.name, early.version)
assert Model(run.experiment.workspace, "early").version == early.version
