import argparse
import os

from azureml.core import Run

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, default=0.5)
parser.add_argument("--steps", type=int, default=10)
args = parser.parse_args()

run = Run.get_context()
run.log("rate", args.rate)
weight = 0.0
for step in range(args.steps):
    weight += args.rate * (1.0 - weight)
    run.log("loss", (1.0 - weight) ** 2)
os.makedirs("outputs", exist_ok=True)
with open("outputs/weights.txt", "w") as file:
    file.write(str(weight))
print(os.environ["GREETING"], run.experiment.name, run.experiment.workspace.name)
run.complete()
