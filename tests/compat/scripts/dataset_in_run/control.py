"""Files and a table through the default datastore, registered, and read by the script."""

import os

from azureml.core import Dataset, Datastore, Environment, Experiment, ScriptRunConfig, Workspace
from azureml.data import OutputFileDatasetConfig

ws = Workspace.from_config()
datastore = ws.get_default_datastore()
print(datastore.name, datastore.datastore_type)

os.makedirs("data", exist_ok=True)
for number in range(3):
    with open("data/part-%d.csv" % number, "w") as file:
        file.write("x,y\n%d,%d\n%d,%d\n" % (number, 2 * number, number + 10, 2 * number + 20))
datastore.upload(src_dir="./data", target_path="datasets/points", overwrite=True, show_progress=True)

files = Dataset.File.from_files(path=(datastore, "datasets/points"))
files = files.register(workspace=ws, name="points", description="three files", create_new_version=True)
table = Dataset.Tabular.from_delimited_files(path=[(datastore, "datasets/points/*.csv")])
table = table.register(workspace=ws, name="points table", create_new_version=True)
assert table.to_pandas_dataframe().shape == (6, 2) and table.take(2).to_pandas_dataframe().shape == (2, 2)
train, test = table.random_split(percentage=0.5, seed=1)
assert len(train.to_pandas_dataframe()) + len(test.to_pandas_dataframe()) == 6
assert {"points", "points table"} <= set(ws.datasets) and "points" in Dataset.get_all(ws)
assert Datastore.get(ws, datastore.name).name == datastore.name

env = Environment("mine")
env.python.user_managed_dependencies = True
result = OutputFileDatasetConfig(name="result", destination=(datastore, "results/{run-id}"))
config = ScriptRunConfig(
    source_directory="src",
    script="read.py",
    arguments=[
        "--files", Dataset.get_by_name(ws, name="points").as_named_input("files").as_mount(),
        "--copy", files.as_named_input("copy").as_download(),
        "--table", table.as_named_input("table"),
        "--result", result.register_on_complete(name="sums"),
    ],
    compute_target="local",
    environment=env,
)  # fmt: skip
run = Experiment(ws, "dataset-in-run").submit(config)
run.wait_for_completion(show_output=True)
assert run.get_metrics() == {"files": 3, "copied": 3, "rows": 6, "sum of y": 72}
sums = Dataset.get_by_name(ws, "sums")
(path,) = sums.download(target_path="sums", overwrite=True)
assert open(path).read() == "72"
print("done")
