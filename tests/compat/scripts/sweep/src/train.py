import argparse
import os

from azureml.core.run import Run

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("--batch-size", type=int, dest="batch_size", default=8)
parser.add_argument("--momentum", type=float)
args = parser.parse_args()

run = Run.get_context()
run.log("batch size", args.batch_size)
for epoch in range(3):
    run.log("accuracy", min(0.99, args.rate * (epoch + 1)) + args.batch_size / 10000)
os.makedirs("outputs", exist_ok=True)
with open(os.path.join("outputs", "model.txt"), "w") as file:
    file.write(str(args.rate))
