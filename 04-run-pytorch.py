"""The tutorial's control script: train `src/train.py` on CIFAR-10 and print where to look at it.

python 04-run-pytorch.py --epochs 2        whatever follows goes to train.py
"""

import sys

from toolkit import Environment, Experiment, ScriptRunConfig, Workspace

if __name__ == "__main__":
    ws = Workspace.from_config()
    experiment = Experiment(workspace=ws, name="day1-experiment-train")
    config = ScriptRunConfig(
        source_directory="src", script="train.py", arguments=sys.argv[1:], compute_target="cpu-cluster"
    )

    # set up pytorch environment
    env = Environment.from_conda_specification(name="pytorch-env", file_path="environments/pytorch-env.yml")
    config.run_config.environment = env

    run = experiment.submit(config)
    run.wait_for_completion(show_output=True)

    aml_url = run.get_portal_url()
    print(aml_url)
