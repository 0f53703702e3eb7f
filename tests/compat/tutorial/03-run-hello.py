from azureml.core import Environment, Experiment, ScriptRunConfig, Workspace

ws = Workspace.from_config()
experiment = Experiment(workspace=ws, name="day1-experiment-hello")
hello = Environment("hello")
hello.python.user_managed_dependencies = True

config = ScriptRunConfig(source_directory="./src", script="hello.py", compute_target="train-cluster", environment=hello)
run = experiment.submit(config)
run.wait_for_completion(show_output=True)
