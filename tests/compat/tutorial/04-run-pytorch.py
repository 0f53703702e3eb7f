import sys

from azureml.core import Environment, Experiment, ScriptRunConfig, Workspace

if __name__ == "__main__":
    ws = Workspace.from_config()
    experiment = Experiment(workspace=ws, name="day1-experiment-train")
    config = ScriptRunConfig(
        source_directory="./src", script="train.py", arguments=sys.argv[2:], compute_target=sys.argv[1]
    )
    env = Environment.from_conda_specification(name="pytorch-env", file_path=".azureml/pytorch-env.yml")
    config.run_config.environment = env

    run = experiment.submit(config)
    aml_url = run.get_portal_url()
    print(aml_url)
    run.wait_for_completion(show_output=True)
