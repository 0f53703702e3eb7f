import sys

from azureml.core import Dataset, Environment, Experiment, ScriptRunConfig, Workspace

if __name__ == "__main__":
    ws = Workspace.from_config()
    datastore = ws.get_default_datastore()
    dataset = Dataset.File.from_files(path=(datastore, "datasets/cifar10"))

    experiment = Experiment(workspace=ws, name="day1-experiment-data")
    config = ScriptRunConfig(
        source_directory="./src",
        script="train.py",
        compute_target=sys.argv[1],
        arguments=["--data_path", dataset.as_named_input("input").as_mount(), "--learning_rate", 0.003, *sys.argv[2:]],
    )
    env = Environment.from_conda_specification(name="pytorch-env", file_path=".azureml/pytorch-env.yml")
    config.run_config.environment = env

    run = experiment.submit(config)
    print("Submitted to the compute target. Click the link below")
    print("")
    print(run.get_portal_url())
    run.wait_for_completion(show_output=True)
