import argparse
import os

from azureml.core import Dataset, Run, Workspace  # noqa: F401  (scripts import more than they use)

parser = argparse.ArgumentParser()
parser.add_argument("--files")
parser.add_argument("--copy")
parser.add_argument("--table")
parser.add_argument("--result")
args = parser.parse_args()

run = Run.get_context()
assert run.input_datasets["files"] == args.files
frame = run.input_datasets["table"].to_pandas_dataframe()
again = Dataset.get_by_id(run.experiment.workspace, id=args.table).to_pandas_dataframe()
assert frame.equals(again)
run.log("files", len(os.listdir(args.files)))
run.log("copied", len(os.listdir(args.copy)))
run.log("rows", len(frame))
run.log("sum of y", int(frame["y"].sum()))
os.makedirs(args.result, exist_ok=True)
with open(os.path.join(args.result, "sum.txt"), "w") as file:
    file.write(str(frame["y"].sum()))
