"""Everything that a run can log, read back from outside."""

from azureml.core import Environment, Experiment, Run, ScriptRunConfig, Workspace

ws = Workspace.from_config()
env = Environment("mine")
env.python.user_managed_dependencies = True
exp = Experiment(workspace=ws, name="logging-api")
run = exp.submit(ScriptRunConfig(source_directory="src", script="log.py", compute_target="local", environment=env))
run.wait_for_completion(show_output=True, wait_post_processing=True)

metrics = run.get_metrics()
assert metrics["scalar"] == 3 and metrics["curve"] == [0.0, 0.5, 1.0] and metrics["list"] == [1, 2, 3]
assert metrics["row"] == {"x": [0, 1], "y": [0, 1]} and metrics["table"] == {"angle": [0, 1], "sine": [0.0, 0.8]}
assert run.get_metrics(name="scalar") == {"scalar": 3} and run.get_metrics("nothing") == {}
assert run.get_tags()["late"] == "1" and run.tags["quality"] == "good"
assert run.get_properties()["author"] == "me"
names = run.get_file_names()
assert {"outputs/kept.txt", "named/file.txt", "folder/kept.txt", "image.png"} <= set(names), names
assert any(name.endswith("70_driver_log.txt") for name in names)
run.download_files(prefix="outputs", output_directory="got")
assert open("got/outputs/kept.txt").read() == "kept"
run.tag("reviewed", "yes")
assert Run(exp, run_id=run.id).get_tags()["reviewed"] == "yes"
assert Run.get(ws, run_id=run.id).id == run.id == ws.get_run(run.id).id
details = run.get_details()
assert details["runId"] == run.id and details["startTimeUtc"] < details["endTimeUtc"]
print(run.get_portal_url())
print("done")
